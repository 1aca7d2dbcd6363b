//! A training run on disk, whatever is trained: steps with their record, validation, samples, checkpoints, and the report.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::output::{print, warn};
use crate::arena::Plan;
use crate::backend::{Backend, Device};
use crate::checkpoint::{Latest, Retention, latest_good};
use crate::config::ConfigOf;
use crate::run::state;
use crate::train::learner::Learner;
use crate::train::metrics::{self, MetricsWriter, StepRecord};
use crate::train::patience::Patience;
use crate::train::progress::Progress;
use crate::train::report::write_report;
use crate::train::tensorboard::TensorBoardWriter;
use crate::train::trainer::{Layout, Trainer};
use crate::{Error, Result};

/// Records with levels and scales of every layer, in all.
const LAYER_RECORDS: u64 = 100;

/// Where a run stands before its first step.
pub(super) struct Start<'a, M: Learner> {
    /// Its folder, with its configuration.
    pub run: &'a Path,
    /// Whether it goes on from its last checkpoint.
    pub resumed: bool,
    /// All its memory.
    pub plan: Plan,
    /// That of model and optimizer.
    pub layout: Layout<M>,
}

/// Trains until the last step, a signal, or the end of patience. `sample` shows what the model can do by now.
///
/// # Errors
/// A run folder that cannot be read or written; a checkpoint of other data; a loss or gradient that is not finite; those of `sample`.
pub(super) fn train<D: Device, M: Learner>(
    start: Start<M>,
    config: ConfigOf<M>,
    corpus: &M::Corpus,
    description: &str,
    mut sample: impl FnMut(&mut Trainer<D, M>, &Progress) -> Result<()>,
) -> Result<()> {
    let Start { run, resumed, mut plan, layout } = start;
    let t = config.train.clone();
    let mut retention = Retention::open(run.join("checkpoints"), t.keep)?;
    let backend = D::open(&mut plan)?;
    let mut trainer = Trainer::new(config, layout, backend);
    match if resumed { latest_good(retention.folder())? } else { None } {
        Some(latest) => resume(&mut trainer, &latest, corpus)?,
        None => trainer.initialise(),
    }
    let done = trainer.step;
    let mut metrics = if resumed { MetricsWriter::resume(run, done)? } else { MetricsWriter::create(run)? };
    let mut patience = Patience::new(t.patience);
    metrics::read(metrics.path())?.iter().filter_map(|record| record.validation_loss).for_each(|loss| patience.add(loss));
    let mut events = TensorBoardWriter::create(run, done)?;
    let mut progress = Progress::new(t.steps, done);
    let weights = trainer.layout.parameters.specs.matrix_weights();
    progress.print(description);
    progress.print(&format!(
        "{weights} weights in linear layers, {:.3} bytes of codes and votes each; {:.1} MiB planned; run folder {}",
        trainer.grid_state_bytes() as f64 / weights as f64,
        plan.total_bytes() as f64 / f64::from(1 << 20),
        run.display()
    ));
    let stop = stop_on_signals()?;
    let start = Instant::now();
    while trainer.step < t.steps && !stop.load(Ordering::Relaxed) && !patience.is_over() {
        let began = Instant::now();
        let stats = trainer.step(corpus)?;
        let (step, seconds) = (trainer.step, began.elapsed().as_secs_f64());
        let due = |every: u64| step == t.steps || (every > 0 && step.is_multiple_of(every));
        let validation = if due(t.validate_every) { Some(M::validate(&mut trainer, corpus)?) } else { None };
        let validation_loss = validation.as_ref().map(|validation| validation.loss);
        validation_loss.iter().for_each(|&loss| patience.add(loss));
        let mut record = StepRecord {
            step,
            loss: stats.loss,
            flip_rate: Some(stats.flip_rate),
            learning_rate: Some(stats.learning_rate),
            grad_norm: Some(stats.grad_norm),
            saturation: Some(stats.saturation),
            seconds: Some(start.elapsed().as_secs_f64()),
            validation_loss,
            layers: (step == 1 || due((t.steps / LAYER_RECORDS).max(1))).then(|| trainer.layers()),
            ..StepRecord::default()
        };
        M::record(&mut record, &stats, validation.as_ref(), seconds);
        metrics.write(&record)?;
        events.write(&record)?;
        progress.step(&record);
        if let Some(validation) = &validation {
            M::show(&progress, step, validation);
        }
        if due(t.sample_every) {
            sample(&mut trainer, &progress)?;
        }
        if due(t.checkpoint_every) || stop.load(Ordering::Relaxed) || patience.is_over() {
            state::checkpoint(&mut trainer, corpus, |metadata, tensors| retention.save(step, validation_loss, metadata, tensors))?;
        }
    }
    progress.finish();
    if patience.is_over() {
        warn(format!("stopped after step {}: {} validations without a lower loss", trainer.step, t.patience));
    } else if resumed && done >= t.steps {
        warn(format!("the run is finished: all of its {} steps are done", t.steps));
    } else if trainer.step < t.steps {
        warn(format!("stopped after step {}; continue with: primal-host {} --resume {}", trainer.step, M::COMMAND, run.display()));
    }
    print(format!("report: {}", write_report(run)?.display()))
}

/// Set by SIGINT or SIGTERM; a second signal ends the process.
fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|e| Error::failed(format!("catching signals: {e}"), "run it where signals can be caught"))?;
    }
    Ok(stop)
}

/// Goes back to a checkpoint of the same run.
fn resume<M: Learner>(trainer: &mut Trainer<impl Backend, M>, latest: &Latest, corpus: &M::Corpus) -> Result<()> {
    latest.skipped.iter().for_each(|warning| warn(format!("warning: {warning}")));
    let (found, now) = (latest.checkpoint.meta("data_fingerprint")?, format!("{:016x}", M::fingerprint(corpus)));
    if found != now {
        return Err(Error::bad_input("--data", format!("the data of the run ({found})"), now, "give the same data as at the start"));
    }
    state::load(&mut trainer.backend, &state::tensors(&trainer.layout), &latest.checkpoint)?;
    trainer.step = state::step_of(&latest.checkpoint, &trainer.config)?;
    Ok(())
}
