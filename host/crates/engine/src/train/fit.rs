//! The loop over the steps of a run, and who watches it.

use std::time::Instant;

use super::task::{Task, Validation};
use super::text::TextTask;
use super::trainer::{StepStats, Trainer};
use crate::backend::Backend;
use crate::ranks::Ranks;
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
    /// Of [`ranks`](Trainer::ranks) the first one measures and says whether there is patience; each one can be asked to stop, and all do.
    ///
    /// # Errors
    /// Those of [`step`](Self::step), [`validate`](Self::validate) and the observer.
    pub fn fit<E: From<Error>>(&mut self, corpus: &T::Corpus, observer: &mut impl Observer<B, T, E>) -> Result<Ending, E> {
        let (mut saved, mut validation_loss) = (self.step, None);
        interrupt::begin_training(self.step);
        let ending = loop {
            let asks = if self.patience.is_over() {
                Some(Ending::OutOfPatience)
            } else if self.step >= self.config.train.steps {
                Some(Ending::Finished)
            } else {
                observer.should_stop().then_some(Ending::Stopped)
            };
            let began = Instant::now();
            let stats = if self.ranks.count() > 1 {
                if let Some(ending) = agreed(asks, &mut *self.ranks) {
                    break ending;
                }
                interrupt::step_together(|| self.step(corpus))
            } else {
                if let Some(ending) = asks {
                    break ending;
                }
                let Some(stats) = interrupt::step(|| self.step(corpus)) else { break Ending::Stopped };
                stats
            };
            let (stats, seconds) = (stats?, began.elapsed().as_secs_f64());
            interrupt::doing(" after its validation");
            let is_measured = self.ranks.rank() == 0 && self.is_due(self.config.train.validate_every);
            let validation = if is_measured { Some(self.validate(corpus)?) } else { None };
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

/// How the run ends, if one of its ranks wants it to: for a signal, which all then have got, or for what it asks.
fn agreed(asks: Option<Ending>, ranks: &mut dyn Ranks) -> Option<Ending> {
    const ENDINGS: [Ending; 3] = [Ending::Stopped, Ending::OutOfPatience, Ending::Finished];
    // Signals are below these numbers.
    const FIRST: i32 = 1 << 10;
    let own = match asks {
        Some(ending) => FIRST + ENDINGS.iter().position(|&each| each == ending).expect("one of them") as i32,
        None => interrupt::requested().unwrap_or(0),
    };
    match ranks.largest(own) {
        0 => None,
        signal if signal < FIRST => {
            interrupt::adopt(signal);
            Some(Ending::Stopped)
        }
        asked => Some(ENDINGS[(asked - FIRST) as usize]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::Cpu;
    use crate::config::Config;
    use crate::memory::Plan;
    use crate::train::bytes::Bytes;
    use crate::train::patience::Patience;
    use crate::train::trainer::Layout;

    /// What it was told, a word each; fails at that word, and stops after that step.
    #[derive(Default)]
    struct Diary {
        words: Vec<String>,
        fails_at: &'static str,
        last: Option<u64>,
        step: u64,
    }

    impl Diary {
        fn write(&mut self, word: String) -> Result<()> {
            let fails = word == self.fails_at;
            self.words.push(word);
            if fails { Err(Error::failed("a full diary", "buy another")) } else { Ok(()) }
        }
    }

    impl Observer<Cpu> for Diary {
        fn step(&mut self, trainer: &mut Trainer<Cpu>, report: &StepReport) -> Result<()> {
            assert_eq!(report.step, trainer.step);
            assert!(report.stats.loss.is_finite() && report.validation.as_ref().is_none_or(|validation| validation.loss.is_finite()));
            self.step = report.step;
            self.write(format!("{}{}", if report.validation.is_some() { "v" } else { "" }, report.step))
        }

        fn sample(&mut self, trainer: &mut Trainer<Cpu>) -> Result<()> {
            self.write(format!("s{}", trainer.step))
        }

        fn checkpoint(&mut self, trainer: &mut Trainer<Cpu>, validation_loss: Option<f64>) -> Result<()> {
            self.write(format!("c{}{}", if validation_loss.is_some() { "v" } else { "" }, trainer.step))
        }

        fn should_stop(&self) -> bool {
            self.last.is_some_and(|last| self.step >= last)
        }
    }

    /// A run of five steps that validates after each second, samples after each third, and saves after each fourth.
    fn trainer() -> Trainer<Cpu> {
        let config = "model = { dim = 32, layers = 1, heads = 2, context = 16, tokenizer = 'bytes', grid = 'uniform15' }
                      train = { steps = 5, batch = 2, seq_len = 16, warmup = 1, validate_every = 2, sample_every = 3, checkpoint_every = 4 }";
        let config = Config::parse(config, "the test's configuration").expect("a configuration");
        let mut plan = Plan::default();
        let layout: Layout = Layout::plan(&config, &mut plan);
        let mut trainer = Trainer::new(config, layout, Cpu::new(&mut plan));
        trainer.initialise();
        trainer
    }

    fn source() -> Bytes {
        Bytes::new("The ghost in the machine is singing. ".repeat(20))
    }

    #[test]
    fn an_observer_is_told_what_is_due_in_order() {
        let (mut trainer, mut diary) = (trainer(), Diary::default());
        assert_eq!(trainer.fit(&source(), &mut diary).expect("a run"), Ending::Finished);
        assert_eq!(diary.words, ["1", "v2", "3", "s3", "v4", "cv4", "v5", "s5", "cv5"]);
        // Of a run that is finished nothing is left.
        assert_eq!(trainer.fit(&source(), &mut diary).expect("a run"), Ending::Finished);
        assert_eq!(diary.words.len(), 9);
    }

    #[test]
    fn a_run_that_is_stopped_is_saved_and_goes_on() {
        let (mut trainer, mut diary) = (trainer(), Diary { last: Some(3), ..Diary::default() });
        assert_eq!(trainer.fit(&source(), &mut diary).expect("a run"), Ending::Stopped);
        assert_eq!(diary.words, ["1", "v2", "3", "s3", "c3"]);
        let mut rest = Diary::default();
        assert_eq!(trainer.fit(&source(), &mut rest).expect("a run"), Ending::Finished);
        assert_eq!(rest.words, ["v4", "cv4", "v5", "s5", "cv5"]);
    }

    #[test]
    fn an_error_of_the_observer_ends_the_run_and_saves_nothing_more() {
        for (fails_at, words) in [("v2", &["1", "v2"][..]), ("s3", &["1", "v2", "3", "s3"]), ("cv4", &["1", "v2", "3", "s3", "v4", "cv4"])]
        {
            let mut diary = Diary { fails_at, ..Diary::default() };
            let error = trainer().fit(&source(), &mut diary).expect_err("a full diary").to_string();
            assert!(error.starts_with("a full diary"), "{error}");
            assert_eq!(diary.words, words);
        }
    }

    #[test]
    fn a_run_out_of_patience_is_saved() {
        let (mut trainer, mut diary) = (trainer(), Diary::default());
        // The loss of the first validation is not lower than one of before.
        trainer.patience = Patience::new(1);
        trainer.patience.add(0.0);
        assert_eq!(trainer.fit(&source(), &mut diary).expect("a run"), Ending::OutOfPatience);
        assert_eq!(diary.words, ["1", "v2", "cv2"]);
    }

    #[test]
    fn a_loss_that_is_not_finite_ends_the_run_before_anybody_is_told() {
        let (mut trainer, mut diary) = (trainer(), Diary::default());
        trainer.inject_fault(0);
        let error = trainer.fit(&source(), &mut diary).expect_err("nothing was noticed").to_string();
        assert!(error.contains("step 1:") && error.contains("is not finite"), "{error}");
        assert_eq!(diary.words, [""; 0]);
    }

    #[test]
    fn a_closure_sees_the_steps_of_the_same_run_as_calls_of_step() {
        let (mut whole, mut single, source) = (trainer(), trainer(), source());
        let mut losses = Vec::new();
        whole.fit(&source, &mut |report: &StepReport| losses.push(report.stats.loss)).expect("a run");
        let expected: Vec<f64> = (0..5).map(|_| single.step(&source).expect("a step").loss).collect();
        assert_eq!(losses, expected);
    }
}
