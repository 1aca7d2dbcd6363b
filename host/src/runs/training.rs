//! A training run on disk, whatever is trained: steps with their record, validation, samples, checkpoints, and the report.

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::data::DataPaths;
use crate::output::{self, print, warn};
use crate::report::html::write_report;
use crate::report::metrics::{self, MetricsWriter, StepRecord};
use crate::report::progress::Progress;
use crate::report::tensorboard::TensorBoardWriter;
use crate::report::told::Told;
use crate::runs::beginning::Beginning;
use crate::runs::folder::{RunFolder, with_resume};
use crate::{Error, Result, ranks};
use primal_engine::backend::{Backend, Device};
use primal_engine::config::{ConfigOf, Reduce, Rule};
use primal_engine::files::TensorFile;
use primal_engine::files::checkpoint::Latest;
use primal_engine::files::mapped;
use primal_engine::interrupt;
use primal_engine::memory::Plan;
use primal_engine::nn::parameters::MatrixSpec;
use primal_engine::nn::tensors;
use primal_engine::ranks::Ranks;
use primal_engine::train::begin::Begun;
use primal_engine::train::fit::{Ending, Observer, StepReport};
use primal_engine::train::patience::Patience;
use primal_engine::train::state;
use primal_engine::train::trainer::{Layout, Trainer};

/// Records with levels and scales of every layer, in all.
const LAYER_RECORDS: u64 = 100;
/// Records of steps that a run without a checkpoint makes again.
const OLD_METRICS: &str = "metrics.old.jsonl";

/// Where a run stands before its first step.
pub(crate) struct Start<T: Told> {
    /// Folder of the run, with its configuration.
    pub folder: RunFolder<T::Config>,
    /// Where its data are.
    pub sources: DataPaths,
    /// All its memory.
    pub plan: Plan,
    /// Layout of model and optimizer.
    pub layout: Layout<T>,
}

/// Trains until the last step, a signal, or the end of patience. `sample` shows what the model can do by now.
///
/// # Errors
/// A run folder that cannot be read or written; a checkpoint of other data; a loss or gradient that is not finite; those of `sample`; a signal.
pub(crate) fn train<D: Device, T: Told>(
    start: Start<T>,
    corpus: &T::Corpus,
    description: &str,
    sample: impl FnMut(&mut Trainer<D, T>, &Progress) -> Result<()>,
) -> Result<()> {
    let Start { mut folder, sources, mut plan, layout } = start;
    let backend = D::open(&mut plan)?;
    let mut trainer = Trainer::new(folder.config.clone(), layout, backend).among(ranks::all());
    require_same_data(&mut *trainer.ranks, T::fingerprint(corpus))?;
    match &folder.beginning {
        Beginning::Anew => trainer.initialise(),
        Beginning::Weights(weights) => {
            let begun = trainer.begin_from(weights)?;
            if trainer.ranks.rank() == 0 {
                warn_of(begun, &weights.path().display());
            }
        }
        Beginning::Checkpoint(latest) => resume(&mut trainer, latest, corpus)?,
    }
    if trainer.ranks.rank() > 0 {
        return follow(trainer, corpus);
    }
    folder.begin(trainer.step, T::fingerprint(corpus), &sources)?;
    let path = folder.path.clone();
    let words = [description.to_owned(), describe(&trainer, &plan, &path)];
    let train = || {
        let mut run = Run::begin(folder, corpus, sample, &mut trainer, &words)?;
        let ending = trainer.fit(corpus, &mut run)?;
        run.conclude(ending, trainer.step)
    };
    train().map_err(|error| with_resume(&path, error))
}

/// Says what of a file a run does not begin with.
fn warn_of(begun: Begun, file: &impl Display) {
    let Begun { rounded, without_remainders } = begun;
    if rounded > 0 {
        let hint = "the model loses something by it; on the grids of the file, and by floats where it has floats, it begins as it is";
        warn(format!("warning: {rounded} matrices go to a grid that they are not on in {file}, which rounds their weights: {hint}"));
    }
    if without_remainders > 0 {
        warn(format!("warning: {file} says of {without_remainders} matrices not what rounding left over: their votes begin spread"));
    }
}

/// Each rank reads the data by itself: they have to be the same everywhere.
fn require_same_data(ranks: &mut dyn Ranks, own: u64) -> Result<()> {
    let mut all = vec![0; 8 * ranks.count()];
    ranks.gather(&own.to_le_bytes(), &mut all);
    let all: Vec<u64> = all.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes"))).collect();
    all.iter().enumerate().find(|(_, data)| **data != all[0]).map_or(Ok(()), |(rank, data)| {
        let expected = format!("the data of the first rank ({:016x}) on every rank", all[0]);
        Err(Error::bad_input("--data", expected, format!("{data:016x} on rank {rank}"), "give all ranks the same data"))
    })
}

/// Trains as one of the ranks that say and write nothing.
fn follow<D: Device, T: Told>(mut trainer: Trainer<D, T>, corpus: &T::Corpus) -> Result<()> {
    // The first rank measures, and says whether there is patience.
    trainer.patience = Patience::new(0);
    trainer.fit(corpus, &mut |_: &StepReport| {})?;
    match interrupt::requested() {
        Some(signal) => Err(Error::Ended(crate::signals::exit_code(signal))),
        None => Ok(()),
    }
}

fn describe<T: Told>(trainer: &Trainer<impl Backend, T>, plan: &Plan, run: &Path) -> String {
    let specs = &trainer.layout.parameters.specs;
    let weights = specs.matrix_weights();
    let frozen: usize = specs.matrices.iter().filter(|spec| spec.is_frozen).map(MatrixSpec::weights).sum();
    let trained = if frozen > 0 { format!(" ({} of them trained)", weights - frozen) } else { String::new() };
    let kept = if trainer.config.train.optimizer == Rule::Votes {
        "codes, scales of groups and votes"
    } else {
        "weights, and of what their optimizer keeps,"
    };
    format!(
        "{weights} weights in linear layers{trained}, {:.3} bytes of {kept} for each that is trained; {:.1} MiB planned; {} threads{}; run folder {}",
        trainer.trained_state_bytes() as f64 / (weights - frozen).max(1) as f64,
        plan.total_bytes() as f64 / f64::from(1 << 20),
        rayon::current_num_threads(),
        among(trainer.ranks.count()),
        run.display()
    )
}

/// Says of how many ranks a run is.
fn among(ranks: usize) -> String {
    if ranks == 1 { String::new() } else { format!(" on each of {ranks} ranks") }
}

/// Goes back to a checkpoint of the same run.
fn resume<T: Told>(trainer: &mut Trainer<impl Backend, T>, latest: &Latest, corpus: &T::Corpus) -> Result<()> {
    latest.skipped.iter().for_each(|warning| warn(format!("warning: {warning}")));
    let (found, now) = (latest.checkpoint.meta("data_fingerprint")?, format!("{:016x}", T::fingerprint(corpus)));
    if found != now {
        return Err(Error::bad_input("--data", format!("the data of the run ({found})"), now, "give the same data as at the start"));
    }
    tensors::load(&mut trainer.backend, &state::tensors(&trainer.layout), &latest.checkpoint)?;
    let own: ConfigOf<T::Config> = state::config_of(&latest.checkpoint)?;
    trainer.step = state::step_of(&latest.checkpoint, &own)?;
    Ok(())
}

/// What a run leaves on disk and says.
struct Run<'a, T: Told, S> {
    folder: RunFolder<T::Config>,
    corpus: &'a T::Corpus,
    sample: S,
    metrics: MetricsWriter,
    events: TensorBoardWriter,
    progress: Progress,
    start: Instant,
    /// Seconds of the parts of the run before.
    before: f64,
    /// Those of all steps so far.
    tokens: Option<u64>,
}

impl<D: Device, T: Told, S: FnMut(&mut Trainer<D, T>, &Progress) -> Result<()>> Observer<D, T, Error> for Run<'_, T, S> {
    fn step(&mut self, trainer: &mut Trainer<D, T>, report: &StepReport) -> Result<()> {
        let StepReport { step, stats, seconds, validation } = report;
        let has_layers = *step == 1 || trainer.is_due((trainer.config.train.steps / LAYER_RECORDS).max(1));
        let has_grids = trainer.trains_grids();
        let mut record = StepRecord {
            step: *step,
            loss: stats.loss,
            flip_rate: has_grids.then_some(stats.flip_rate),
            learning_rate: Some(stats.learning_rate),
            grad_norm: Some(stats.grad_norm),
            saturation: has_grids.then_some(stats.saturation),
            votes_cut: (trainer.config.train.reduce == Reduce::Votes).then_some(stats.cut),
            waiting: (trainer.ranks.count() > 1).then_some(stats.waiting),
            seconds: Some(self.before + self.start.elapsed().as_secs_f64()),
            validation_loss: validation.as_ref().map(|validation| validation.loss),
            layers: has_layers.then(|| trainer.layers()).transpose()?,
            ..StepRecord::default()
        };
        T::record(&mut record, stats, validation.as_ref(), *seconds);
        if let Some(tokens) = &mut record.tokens {
            // Without records of the steps before, each counts as this one.
            *tokens += self.tokens.unwrap_or((*step - 1) * *tokens);
            self.tokens = Some(*tokens);
        }
        self.metrics.write(&record)?;
        self.events.write(&record)?;
        self.progress.step(&record);
        if let Some(validation) = validation {
            T::show(&self.progress, *step, validation);
        }
        Ok(())
    }

    fn sample(&mut self, trainer: &mut Trainer<D, T>) -> Result<()> {
        (self.sample)(trainer, &self.progress)
    }

    /// Saves the state, unless some of the steps since the last time may have seen other data than the run's.
    fn checkpoint(&mut self, trainer: &mut Trainer<D, T>, validation_loss: Option<f64>) -> Result<()> {
        mapped::require_unchanged()?;
        let step = trainer.step;
        let retention = self.folder.retention.as_mut().expect("who saves a run holds its folder");
        let attached = self.folder.beginning.attached()?;
        let about = self.folder.beginning.about();
        state::checkpoint(trainer, self.corpus, |metadata, tensors| {
            let all: Vec<_> = tensors.iter().cloned().chain(attached).collect();
            retention.save(step, validation_loss, &about.into_iter().chain(metadata.clone()).collect(), &all)
        })?;
        Ok(())
    }

    fn should_stop(&self) -> bool {
        self.progress.has_failed()
    }
}

impl<'a, T: Told, S> Run<'a, T, S> {
    /// Opens the records of a run that may have steps behind it, and says what trains.
    fn begin(
        folder: RunFolder<T::Config>,
        corpus: &'a T::Corpus,
        sample: S,
        trainer: &mut Trainer<impl Backend, T>,
        words: &[String],
    ) -> Result<Self> {
        let (path, done, steps) = (&folder.path, trainer.step, folder.config.train.steps);
        let metrics = open_metrics(path, folder.is_resumed, done)?;
        let records = metrics::read(metrics.path())?;
        let tokens = records.last().and_then(|record| record.tokens);
        let before = records.last().and_then(|record| record.seconds).unwrap_or_default();
        records.iter().filter_map(|record| record.validation_loss).for_each(|loss| trainer.patience.add(loss));
        let events = TensorBoardWriter::create(path, done)?;
        let progress = Progress::new(steps, done);
        words.iter().for_each(|line| progress.print(line));
        if done >= steps {
            let hint = format!("primal-host {} --resume {} --steps N trains on", T::COMMAND, path.display());
            progress.print(&format!("the run is finished: {done} of {steps} steps are done; {hint}"));
        }
        Ok(Self { folder, corpus, sample, metrics, events, progress, start: Instant::now(), before, tokens })
    }

    /// Says why the run ended, and writes its report.
    fn conclude(self, ending: Ending, step: u64) -> Result<()> {
        let path = &self.folder.path;
        self.progress.finish();
        if let Some(error) = self.progress.failure() {
            write_report(path)?;
            return Err(output::failed(error));
        }
        match ending {
            Ending::Finished => {}
            Ending::OutOfPatience => {
                warn(format!("stopped after step {step}: {} validations without a lower loss", self.folder.config.train.patience));
            }
            Ending::Stopped => {
                warn(format!("stopped after step {step}; continue with: primal-host {} --resume {}", T::COMMAND, path.display()));
            }
        }
        let report = write_report(path)?;
        let printed = print(format!("report: {}", report.display()));
        match interrupt::requested() {
            // Its terminal may be gone.
            Some(signal) => Err(Error::Ended(crate::signals::exit_code(signal))),
            None => printed,
        }
    }
}

/// The records of the steps so far. Those that will be made again go; of a run without any checkpoint they are set aside.
fn open_metrics(run: &Path, is_resumed: bool, done: u64) -> Result<MetricsWriter> {
    if !is_resumed {
        return MetricsWriter::create(run);
    }
    if done == 0 {
        let path = run.join(metrics::FILE_NAME);
        let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
        let old = run.join(OLD_METRICS);
        let mut text = format!("{}: no checkpoint in it yet, so it begins again with step 1", run.display());
        if length(&path) > length(&old) {
            fs::rename(&path, &old).map_err(|error| primal_engine::files::durable::write_error(&old, 0, error))?;
            text += &format!("; the records of its steps so far are in {OLD_METRICS}");
        }
        warn(text);
    }
    MetricsWriter::resume(run, done)
}
