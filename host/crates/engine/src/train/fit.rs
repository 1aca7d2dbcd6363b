//! The loop over the steps of a run, and who watches it.

use std::time::Instant;

use super::task::{Task, Validation};
use super::text::TextTask;
use super::trainer::{StepStats, Trainer};
use crate::backend::Backend;
use crate::{Error, Result, interrupt};

/// A step that is done.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// Its number, from 1.
    pub step: u64,
    /// What it measured.
    pub stats: StepStats,
    /// Seconds that it took, without validation.
    pub seconds: f64,
    /// The validation after it, where one was due.
    pub validation: Option<Validation>,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The last step is done.
    Finished,
    /// As many validations as the configuration's `patience` did not lower the loss.
    OutOfPatience,
    /// [`interrupt::request`] or the observer asked for it.
    Stopped,
}

/// Watches a run: told in the order of the methods after each step. An error ends the run, and nothing more is asked.
///
/// A closure over reports is an observer that cannot fail.
pub trait Observer<B: Backend, T: Task = TextTask, E = Error> {
    /// A step is done, and measured.
    ///
    /// # Errors
    /// What ends the run.
    fn step(&mut self, trainer: &mut Trainer<B, T>, report: &StepReport) -> Result<(), E>;

    /// The model should show what it can do: every `sample_every` steps and after the last one.
    ///
    /// # Errors
    /// What ends the run.
    fn sample(&mut self, _trainer: &mut Trainer<B, T>) -> Result<(), E> {
        Ok(())
    }

    /// The state should be saved: every `checkpoint_every` steps and when the run ends, however it ends but by an error. The validation loss is that of
    /// the same step, where it was measured.
    ///
    /// # Errors
    /// What ends the run.
    fn checkpoint(&mut self, _trainer: &mut Trainer<B, T>, _validation_loss: Option<f64>) -> Result<(), E> {
        Ok(())
    }

    /// Whether the run should end before its next step.
    fn should_stop(&self) -> bool {
        false
    }
}

impl<B: Backend, T: Task, F: FnMut(&StepReport)> Observer<B, T> for F {
    fn step(&mut self, _trainer: &mut Trainer<B, T>, report: &StepReport) -> Result<()> {
        self(report);
        Ok(())
    }
}

impl<B: Backend, T: Task> Trainer<B, T> {
    /// Makes the steps that are left of a run, until the last one, the end of [`patience`](Self::patience), or a request to stop.
    ///
    /// # Errors
    /// Those of [`step`](Self::step), [`validate`](Self::validate) and the observer.
    pub fn fit<E: From<Error>>(&mut self, corpus: &T::Corpus, observer: &mut impl Observer<B, T, E>) -> Result<Ending, E> {
        let (mut saved, mut validation_loss) = (self.step, None);
        interrupt::begin_training(self.step);
        let ending = loop {
            if self.patience.is_over() {
                break Ending::OutOfPatience;
            }
            if self.step >= self.config.train.steps {
                break Ending::Finished;
            }
            if observer.should_stop() {
                break Ending::Stopped;
            }
            let began = Instant::now();
            let Some(stats) = interrupt::step(|| self.step(corpus)) else { break Ending::Stopped };
            let (stats, seconds) = (stats?, began.elapsed().as_secs_f64());
            interrupt::doing(" after its validation");
            let validation = if self.is_due(self.config.train.validate_every) { Some(self.validate(corpus)?) } else { None };
            validation_loss = validation.as_ref().map(|validation| validation.loss);
            validation_loss.iter().for_each(|&loss| self.patience.add(loss));
            observer.step(self, &StepReport { step: self.step, stats, seconds, validation })?;
            if self.is_due(self.config.train.sample_every) {
                interrupt::doing(" after its sample");
                observer.sample(self)?;
            }
            interrupt::doing("");
            if self.is_due(self.config.train.checkpoint_every) {
                observer.checkpoint(self, validation_loss)?;
                saved = self.step;
            }
        };
        if self.step > saved {
            observer.checkpoint(self, validation_loss)?;
        }
        Ok(ending)
    }
}
