//! The folder of a run: `--out`, `--resume` and `--from`. It is taken (locked) before anything in it is read or written.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::beginning::{Beginning, is_imported};
use super::belonging::{edited_config, known_config, reopen, require_own_checkpoints, require_same_model};
use super::claim::{require_new, take, take_free};
use super::difference::{Difference, changes, differences};
use crate::configurations::{self, Load};
use crate::data::DataPaths;
use crate::output::warn;
use crate::runs::identity::{FILE_NAME, Identity, Origin};
use crate::{Error, Result, input};
use primal_engine::config::{ConfigOf, Family, ModelTable};
use primal_engine::files::checkpoint::{Checkpoint, RUN_KEY, Retention, latest_good};
use primal_engine::files::durable::{self, Transient};
use primal_engine::nn::kept::{self, Kept};
use primal_engine::optim::schedule;
use primal_engine::train::task::Task;
use primal_engine::train::{begin, state};

pub(super) const CHECKPOINTS: &str = "checkpoints";
pub(super) const CONFIG: &str = "config.toml";
pub(super) const SOURCES: &str = "data.json";

/// The flags that name a run.
pub(crate) struct Flags<'a> {
    pub out: Option<&'a Path>,
    pub resume: Option<&'a Path>,
    pub from: Option<&'a Path>,
    pub config: Option<&'a str>,
    /// The configuration of who names none.
    pub default: &'static str,
}

impl Flags<'_> {
    /// The architecture of the run, and what names it. Where that cannot be read yet, the architecture of the default: who opens it says why.
    pub fn architecture(&self, family: Family) -> Result<(String, String)> {
        let default = || configurations::architecture(self.default, family);
        let file = self.resume.map(|run| run.join(CONFIG).display().to_string());
        if let (None, Some(from), None) = (&file, self.from, self.config) {
            let found = Checkpoint::open(from).and_then(|weights| state::architecture(&weights));
            return Ok((found.or_else(|_| default())?, from.display().to_string()));
        }
        let name = file.unwrap_or_else(|| self.config.unwrap_or(self.default).to_owned());
        // What is no file can be read only once.
        let can_read = Path::new(&name).is_file() || !Path::new(&name).exists();
        let found = if can_read { configurations::architecture(&name, family).or_else(|_| default()) } else { default() };
        Ok((found?, name))
    }

    /// What a new run is of, which names its folder: a configuration, a run whose weights it begins with, or a model.
    fn subject(&self) -> &OsStr {
        let stem = |path| Path::file_stem(path).unwrap_or_default();
        let Some(from) = self.from.filter(|_| self.config.is_none()) else {
            return stem(Path::new(self.config.unwrap_or(self.default)));
        };
        let checkpoints = from.parent().filter(|folder| folder.ends_with(CHECKPOINTS));
        checkpoints.and_then(|folder| folder.parent()?.file_name()).unwrap_or_else(|| stem(from))
    }
}

/// A run folder that no other process has.
pub(crate) struct RunFolder<M: ModelTable> {
    pub path: PathBuf,
    pub config: ConfigOf<M>,
    pub beginning: Beginning,
    pub is_resumed: bool,
    identity: Option<Identity>,
    /// Of a run that goes on: its configuration before flags changed it.
    before: String,
    changes: Vec<Difference>,
    /// What is removed again if the run does not begin; innermost first.
    made: Vec<Transient>,
    /// Where its checkpoints go; of ranks that train together the first one alone has it.
    pub retention: Option<Retention>,
}

impl<M: ModelTable> RunFolder<M> {
    /// Takes the folder of a new run, with the flags of `apply`, which names those that were given; or that of `--resume`, which takes few flags.
    ///
    /// # Errors
    /// A folder that cannot become that of a new run, flags out of range; or flags that a run in progress cannot take, no run there, a configuration
    /// of another kind of model, files of another run or changed by hand; a folder that another process trains in.
    pub fn open(flags: &Flags, apply: impl Fn(&mut ConfigOf<M>) -> Result<Vec<String>>) -> Result<Self> {
        match flags.resume {
            None => Self::open_new(flags, apply),
            Some(run) => Self::open_again(run, flags, apply),
        }
    }

    fn open_new(flags: &Flags, apply: impl Fn(&mut ConfigOf<M>) -> Result<Vec<String>>) -> Result<Self> {
        let weights = flags.from.map(Checkpoint::open_verified).transpose()?;
        let (mut config, name) = match (&weights, flags.config) {
            (Some(weights), None) => {
                let mut config: ConfigOf<M> = state::config_of(weights)?;
                // That was how its own run began.
                config.train.regrids = false;
                if is_imported(weights) {
                    config.train = config.model.fine_tuning();
                }
                (config, weights.path().display().to_string())
            }
            (_, name) => {
                let name = name.unwrap_or(flags.default);
                (ConfigOf::load(name)?, name.to_owned())
            }
        };
        let given = apply(&mut config)?;
        if flags.config.is_none() && weights.as_ref().is_some_and(is_imported) {
            config.train.settle(|flag| given.iter().any(|given| given == flag));
        }
        config.model.complete(&mut config.train);
        check(&config, &name, &given)?;
        if config.train.full_range && config.train.threshold.is_none() {
            let hint = "write a threshold, 0.52 where votes begin spread, or leave the key out";
            return Err(Error::bad_input(
                format!("{name}: train.full_range"),
                "train.threshold, for which the largest vote stands",
                "none",
                hint,
            ));
        }
        if let Some(weights) = &weights {
            require_same_model(&config, weights)?;
        }
        let (path, made, retention) = match flags.out {
            Some(out) => {
                require_new(out)?;
                let (made, retention) = take(out).map_err(unwritable_out)?;
                // Another process may have begun one meanwhile.
                require_new(out)?;
                (out.to_path_buf(), made, retention)
            }
            None => take_free(&format!("runs/{}", flags.subject().display())).map_err(unwritable_out)?,
        };
        let beginning = weights.map_or(Beginning::Anew, Beginning::Weights);
        Ok(Self { made, retention: Some(retention), ..Self::of_another(path, config, beginning, false) })
    }

    fn open_again(run: &Path, flags: &Flags, apply: impl Fn(&mut ConfigOf<M>) -> Result<Vec<String>>) -> Result<Self> {
        let names = [flags.out.map(|_| "--out"), flags.config.map(|_| "--config"), flags.from.map(|_| "--from")];
        let file = run.join(CONFIG);
        // Which flags are given shows on any configuration of the architecture.
        let any = ConfigOf::load(flags.default).or_else(|_| ConfigOf::load(&file.display().to_string()));
        let given = apply(&mut any?)?;
        let changes = changes(M::FAMILY);
        let given = given.iter().map(String::as_str).filter(|flag| !changes.contains(flag));
        let fixed: Vec<_> = names.into_iter().flatten().chain(given).collect();
        if !fixed.is_empty() {
            let hint = format!(
                "with --resume give only the data, --device, --threads, and {}: else a run goes on as it was begun",
                changes.join(", ")
            );
            return Err(Error::bad_input("--resume", "no flag that changes the run", fixed.join(", "), hint));
        }
        if !file.is_file() {
            let hint = "give the folder that `train` named when the run began; if it ended before that, begin it anew";
            return Err(Error::bad_input("--resume", "the folder of a run", format!("no file {}", file.display()), hint));
        }
        let mut retention = Retention::open(run.join(CHECKPOINTS), 1)?;
        durable::sweep_all(run);
        let mut identity = Identity::read(run)?;
        let written: ConfigOf<M> = ConfigOf::load(&file.display().to_string())?;
        let before = match &identity {
            Some(identity) => known_config(identity, &written, &file)?,
            None => written,
        };
        require_own_checkpoints(&retention, identity.as_ref(), &before)?;
        let latest = latest_good(retention.folder())?;
        if let Some(latest) = &latest {
            let own: ConfigOf<M> = state::config_of(&latest.checkpoint)?;
            // An earlier version wrote both and changed neither.
            let may_change = identity.is_some();
            if let Some(edited) = differences(&before, &own).into_iter().find(|found| !(may_change && found.is_changeable())) {
                return Err(edited_config::<M>(&file, &edited, &latest.checkpoint.path().display().to_string()));
            }
            if identity.is_none()
                && let Some(id) = latest.checkpoint.metadata().get(RUN_KEY)
            {
                identity = Some(Identity { id: id.clone(), ..Identity::new(before.to_toml(), 0, None) });
            }
        }
        let mut config = before.clone();
        let given = apply(&mut config)?;
        check(&config, &file.display().to_string(), &given)?;
        let changes = differences(&before, &config);
        retention.keep(config.train.keep, identity.as_ref().map_or(&[], |identity| &identity.ends));
        let beginning = match (latest, identity.as_ref().and_then(|identity| identity.from.as_ref())) {
            (Some(latest), _) => Beginning::Checkpoint(latest),
            (None, Some(from)) => Beginning::Weights(reopen(from)?),
            (None, None) => Beginning::Anew,
        };
        let (path, before) = (run.to_path_buf(), before.to_toml());
        Ok(Self { identity, before, changes, retention: Some(retention), ..Self::of_another(path, config, beginning, true) })
    }

    /// The folder of a run that another rank holds.
    pub fn of_another(path: PathBuf, config: ConfigOf<M>, beginning: Beginning, is_resumed: bool) -> Self {
        let (before, changes, made) = Default::default();
        Self { path, config, beginning, is_resumed, identity: None, before, changes, made, retention: None }
    }

    /// What matrices of the run are kept otherwise than its configuration says.
    ///
    /// # Errors
    /// A file that the run begins from or goes on from that does not say so rightly.
    pub fn kept<T: Task<Config = M>>(&self) -> Result<BTreeMap<String, Kept>> {
        match &self.beginning {
            Beginning::Anew => Ok(BTreeMap::new()),
            Beginning::Weights(weights) => Ok(begin::kept::<T>(&self.config, weights)?),
            Beginning::Checkpoint(latest) => {
                kept::apply(&mut T::layers(&self.config).1, &latest.checkpoint)?;
                Ok(kept::of(&latest.checkpoint)?)
            }
        }
    }

    /// Refuses a new run in a folder of which all files are learnt or held back.
    ///
    /// # Errors
    /// Such a folder among the paths.
    pub fn require_apart(&self, paths: &DataPaths) -> Result<()> {
        let is_own = |path: &str| !self.is_resumed && is_same_folder(Path::new(path), &self.path);
        let Some((flag, path)) = paths.by_flag().find(|(_, path)| is_own(path)) else { return Ok(()) };
        let hint = "give a folder below it, or another one: what a run writes is not to be learnt";
        Err(Error::bad_input("--out", format!("another folder than that of {flag}"), path, hint))
    }

    /// The data: those of the flags, else those that the run was begun with, else `default`.
    ///
    /// # Errors
    /// Data of the run that cannot be found any more.
    pub fn sources(&self, given: &DataPaths, default: Option<&str>) -> Result<DataPaths> {
        let found = |paths: &[String]| {
            paths.iter().map(|path| if Some(path.as_str()) == default { path.clone() } else { absolute(path) }).collect::<Vec<_>>()
        };
        let mut given = DataPaths { data: found(&given.data), validation: found(&given.validation) };
        if !self.is_resumed {
            given.data.extend(default.filter(|_| given.data.is_empty()).map(str::to_owned));
            return Ok(given);
        }
        let known = match self.known_sources() {
            Ok(known) => known,
            // Where nothing tells them, those that are given are all.
            Err(_) if !given.data.is_empty() => return Ok(given),
            Err(error) => return Err(error),
        };
        let is_there = |path: &str| Some(path) == default || Path::new(path).exists();
        let is_given = |flag| given.by_flag().any(|(other, _)| other == flag);
        if let Some((flag, path)) = known.by_flag().find(|(flag, path)| !is_given(*flag) && !is_there(path)) {
            let place = match Path::new(path).is_absolute() {
                true => "",
                false => ", a path relative to the folder where the run was begun",
            };
            let hint = format!("put it back, or say with {flag} where the data of the run are now");
            let subject = self.path.join(SOURCES);
            return Err(Error::bad_input(subject.display(), format!("the data of the run, {path}{place}"), "nothing there", hint));
        }
        let or = |given: Vec<String>, known| if given.is_empty() { known } else { given };
        Ok(DataPaths { data: or(given.data, known.data), validation: or(given.validation, known.validation) })
    }

    /// The data that the run was begun with.
    fn known_sources(&self) -> Result<DataPaths> {
        let path = self.path.join(SOURCES);
        let hint = "give the data of the run with --data";
        let text = input::read_text(&path, input::CONFIGURATION, hint)?;
        let known: DataPaths =
            serde_json::from_str(&text).map_err(|error| Error::bad_input(path.display(), "a JSON list of paths", error, hint))?;
        if known.data.is_empty() {
            return Err(Error::bad_input(path.display(), "a JSON list of at least one path", "an empty one", hint));
        }
        Ok(known)
    }

    /// Writes what a new run needs to be resumed, `config.toml` last, which makes it a run; or what flags changed of one that goes on. `done`
    /// steps are done.
    ///
    /// # Errors
    /// Fewer steps than are done; files that cannot be written.
    pub fn begin(&mut self, done: u64, fingerprint: u64, sources: &DataPaths) -> Result<()> {
        let text = self.config.to_toml();
        let identity = match self.identity.take() {
            Some(identity) if self.changes.is_empty() => identity,
            Some(identity) => self.changed(identity, &text, done)?,
            // A run that an earlier version began goes on as one of this version.
            None if self.is_resumed => {
                let before = Identity::new(self.before.clone(), fingerprint, None);
                if self.changes.is_empty() { before } else { self.changed(before, &text, done)? }
            }
            None => {
                let from = match &self.beginning {
                    Beginning::Weights(weights) => Some(Origin::of(weights)),
                    _ => None,
                };
                Identity::new(text.clone(), fingerprint, from)
            }
        };
        let retention = self.retention.as_mut().expect("who begins a run holds its folder");
        retention.belong_to(&identity.id)?;
        retention.keep(self.config.train.keep, &identity.ends);
        let write = || {
            identity.write(&self.path)?;
            if !self.is_resumed {
                durable::write(&self.path.join(SOURCES), serde_json::to_string(sources).expect("strings").as_bytes())?;
            }
            if self.is_resumed && self.changes.is_empty() {
                return Ok(());
            }
            durable::write(&self.path.join(CONFIG), text.as_bytes())?;
            // Now both say the same: what it said before would be an edit.
            if identity.previous.is_some() { Identity { previous: None, ..identity.clone() }.write(&self.path) } else { Ok(()) }
        };
        if self.is_resumed {
            return write().map_err(|error| with_resume(&self.path, error));
        }
        let files = [FILE_NAME, SOURCES, CONFIG].map(|name| self.path.join(name));
        let begun: Vec<_> = files.into_iter().filter(|file| !file.exists()).map(Transient::new).collect();
        write().map_err(unwritable_out)?;
        begun.into_iter().chain(self.made.drain(..)).for_each(Transient::keep);
        Ok(())
    }

    /// Says what flags change, and notes it.
    fn changed(&self, before: Identity, text: &str, done: u64) -> Result<Identity> {
        let path = self.path.display();
        let mut identity = Identity { config: text.to_owned(), previous: Some(before.config.clone()), ..before };
        let old: ConfigOf<M> = ConfigOf::parse(identity.previous.as_deref().unwrap_or(text), CONFIG)?;
        let (old, new) = (&old.train, &self.config.train);
        if old.steps != new.steps && new.steps <= done {
            return Err(Error::bad_input(
                "--steps",
                format!("more than the {done} steps that are done"),
                new.steps,
                "give more, or leave it out",
            ));
        }
        for Difference { key, one, other } in &self.changes {
            warn(format!("{path}: {key} is {other} from here on, it was {one}"));
        }
        if old.steps == new.steps {
            return Ok(identity);
        }
        let [was, is] = [old, new].map(|train| schedule::learning_rate(train, done));
        warn(format!(
            "{path}: the learning rate follows the schedule of {} steps from here on: {is:.3e} at step {}, not {was:.3e}",
            new.steps,
            done + 1
        ));
        if done == old.steps {
            warn(format!("{path}: the checkpoint of step {done}, the end so far, is kept"));
            identity.ends.push(done);
        }
        Ok(identity)
    }
}

/// Checks a configuration; a value that a flag gave is that flag's, whatever `origin` says of its key.
fn check<M: ModelTable>(config: &ConfigOf<M>, origin: &str, given: &[String]) -> Result<()> {
    config.check(origin).map_err(|error| match Error::from(error) {
        Error::BadInput { subject, expected, found, hint } => {
            let key = subject.rsplit(": ").next().unwrap_or_default();
            let flag = format!("--{}", key.rsplit('.').next().unwrap_or_default().replace('_', "-"));
            match given.contains(&flag) {
                true => Error::bad_input(format!("{flag}: {key}"), expected, found, "give another value"),
                false => Error::BadInput { subject, expected, found, hint },
            }
        }
        other => other,
    })
}

fn is_same_folder(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// A source as it can be found from any folder.
fn absolute(source: &str) -> String {
    std::path::absolute(source).map_or_else(|_| source.to_owned(), |path| path.display().to_string())
}

/// While a new run is made, a path that cannot be written is a wrong `--out`; a full disk is not.
pub(crate) fn unwritable_out(error: Error) -> Error {
    match error {
        Error::Io { action: "writing", source, path, .. } if !durable::is_full(&source) => {
            Error::bad_input("--out", "a folder that can be made and written", format!("{path}: {source}"), "give another")
        }
        Error::Io { action: "writing", source, path, hint } => {
            Error::Io { action: "writing", source, path, hint: format!("{hint}; --out names another folder") }
        }
        error => error,
    }
}

/// An output error of a run that can go on.
pub(crate) fn with_resume(run: &Path, error: Error) -> Error {
    match error {
        Error::Io { action: "writing", source, path, hint } => {
            let hint = format!("{hint}; what was saved before is untouched, --resume {} continues from it", run.display());
            Error::Io { action: "writing", source, path, hint }
        }
        error => error,
    }
}
