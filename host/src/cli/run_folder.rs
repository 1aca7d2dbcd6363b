//! The folder of a run: `--out` and `--resume`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::{ConfigOf, ModelTable};
use crate::durable;
use crate::{Error, Result, input};

/// The folder of a run and its configuration: of a new one, not made yet, with the flags of `apply`, which names those that were given; or of the
/// one in `resume`, which takes no flags. `default` is the configuration of who names none.
///
/// # Errors
/// A folder that cannot become that of a new run, flags out of range; or flags that a run in progress cannot take, no run there, a configuration
/// of another kind of model.
pub(super) fn run_folder<M: ModelTable>(
    out: Option<&Path>,
    resume: Option<&Path>,
    config: Option<&str>,
    default: &str,
    apply: impl FnOnce(&mut ConfigOf<M>) -> Result<Vec<&'static str>>,
) -> Result<(PathBuf, ConfigOf<M>)> {
    let Some(run) = resume else {
        let name = config.unwrap_or(default);
        let stem = Path::new(name).file_stem().unwrap_or_default();
        let run = out.map_or_else(|| free_folder(&format!("runs/{}", stem.display())), Path::to_path_buf);
        require_new(&run)?;
        let mut config = ConfigOf::load(name)?;
        apply(&mut config)?;
        config.model.complete(&mut config.train);
        config.check(name)?;
        return Ok((run, config));
    };
    let names = [out.map(|_| "--out"), config.map(|_| "--config")];
    let flags: Vec<_> = names.into_iter().flatten().chain(apply(&mut ConfigOf::load(default)?)?).collect();
    if !flags.is_empty() {
        let hint = "with --resume give only the data, --device and --threads: a run goes on as it was begun";
        return Err(Error::bad_input("--resume", "no flag that changes the run", flags.join(", "), hint));
    }
    let file = run.join("config.toml");
    if !file.is_file() {
        let hint = "give the folder that `train` named when the run began; if it ended before that, begin it anew";
        return Err(Error::bad_input("--resume", "the folder of a run", format!("no file {}", file.display()), hint));
    }
    Ok((run.to_path_buf(), ConfigOf::load(&file.display().to_string())?))
}

fn free_folder(stem: &str) -> PathBuf {
    let names = std::iter::once(stem.to_string()).chain((2..).map(|n| format!("{stem}-{n}")));
    names.map(PathBuf::from).find(|path| !path.exists()).expect("some number is free")
}

/// Refuses a folder that cannot become that of a new run.
fn require_new(run: &Path) -> Result<()> {
    let hint = "give a new folder, or one without a run";
    if run.as_os_str().is_empty() {
        return Err(Error::bad_input("--out", "a folder", "an empty path", hint));
    }
    if run.exists() && !run.is_dir() {
        return Err(Error::bad_input("--out", "a folder", format!("a file, {}", run.display()), hint));
    }
    if run.join("config.toml").exists() {
        let hint = format!("continue it with --resume {}, or give another folder with --out", run.display());
        return Err(Error::bad_input("--out", "a new folder", format!("a run in {}", run.display()), hint));
    }
    Ok(())
}

/// Makes the folder and the files that `--resume` needs; `config.toml`, which makes it a run, comes last.
///
/// # Errors
/// They cannot be written.
pub(super) fn create_run<M: ModelTable>(run: &Path, config: &ConfigOf<M>, sources_file: &Path, sources: &[String]) -> Result<()> {
    fs::create_dir_all(run).map_err(|error| durable::write_error(run, 0, error))?;
    durable::write(sources_file, serde_json::to_string(sources).expect("strings").as_bytes())?;
    durable::write(&run.join("config.toml"), config.to_toml().as_bytes())
}

/// While a new run is made, a path that cannot be written is a wrong `--out`; a full disk is not.
pub(super) fn unwritable_out(error: Error) -> Error {
    match error {
        Error::Io { action: "writing", source, path, .. } if !durable::is_full(&source) => {
            Error::bad_input("--out", "a folder that can be made and written", format!("{path}: {source}"), "give another")
        }
        error => error,
    }
}

/// The sources that a run was begun with.
///
/// # Errors
/// The file is missing or damaged.
pub(super) fn read_sources(path: &Path) -> Result<Vec<String>> {
    const HINT: &str = "give the data of the run with --data";
    let text = input::read_text(path, input::CONFIGURATION, HINT)?;
    match serde_json::from_str::<Vec<String>>(&text) {
        Ok(sources) if !sources.is_empty() => Ok(sources),
        Ok(_) => Err(Error::bad_input(path.display(), "a JSON list of paths", "an empty one", HINT)),
        Err(error) => Err(Error::bad_input(path.display(), "a JSON list of paths", error, HINT)),
    }
}
