//! What is told of what trains.

use std::collections::BTreeMap;

use primal_engine::models::ghost_tts::TERMS;
use primal_engine::models::text::TextModel;
use primal_engine::train::speech::SpeechTask;
use primal_engine::train::task::{MAX_TERMS, Task, Validation};
use primal_engine::train::text::TextTask;
use primal_engine::train::trainer::StepStats;

use super::metrics::StepRecord;
use super::progress::Progress;

/// A task in records and on the screen.
pub trait Told: Task {
    /// The command that trains it.
    const COMMAND: &'static str;

    /// Adds to the record of a step what is told of this task: its speed over `seconds`, its tokens, the terms of the loss.
    fn record(record: &mut StepRecord, stats: &StepStats, validation: Option<&Validation>, seconds: f64);

    /// Shows a validation.
    fn show(progress: &Progress, step: u64, validation: &Validation);
}

impl<M: TextModel> Told for TextTask<M> {
    const COMMAND: &'static str = "train";

    fn record(record: &mut StepRecord, stats: &StepStats, validation: Option<&Validation>, seconds: f64) {
        record.tokens_per_second = Some(stats.items as f64 / seconds);
        record.tokens = Some(stats.items);
        record.validation_nats_per_byte = validation.and_then(|validation| validation.nats_per_byte);
    }

    fn show(progress: &Progress, step: u64, validation: &Validation) {
        progress.validation(step, validation.loss, validation.nats_per_byte);
    }
}

impl Told for SpeechTask {
    const COMMAND: &'static str = "tts-train";

    fn record(record: &mut StepRecord, stats: &StepStats, validation: Option<&Validation>, seconds: f64) {
        record.frames_per_second = Some(stats.items as f64 / seconds);
        record.losses = Some(named(&stats.terms));
        record.validation_losses = validation.map(|validation| named(&validation.terms));
    }

    fn show(progress: &Progress, step: u64, validation: &Validation) {
        let terms: Vec<String> = TERMS.iter().zip(&validation.terms).map(|(name, term)| format!("{name} {term:.4}")).collect();
        progress.print(&format!("step {step}: validation loss {:.4} ({})", validation.loss, terms.join(", ")));
        for warning in &validation.warnings {
            progress.print(&format!("step {step}: warning: {warning}"));
        }
    }
}

fn named(terms: &[f64; MAX_TERMS]) -> BTreeMap<String, f64> {
    TERMS.iter().zip(terms).map(|(name, &term)| (name.to_string(), term)).collect()
}
