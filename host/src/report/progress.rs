//! What a training run says while it runs.
//!
//! The progress line goes to standard error: redrawn in place on a terminal, a plain line every
//! ten seconds elsewhere. Validation results and samples go to standard output, above the line.

use std::cell::RefCell;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::metrics::StepRecord;
use crate::visible;

/// Redraws of the line per second on a terminal, at most.
const REDRAWS_PER_SECOND: u8 = 5;

/// Time between two lines where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Steps over which the smoothed figures forget: the weight of the newest value is one in this many.
const SMOOTHING_STEPS: f64 = 20.0;

/// The progress line of one run.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    state: ProgressState,
    last_plain: Option<Instant>,
    failure: RefCell<Option<io::Error>>,
}

impl Progress {
    /// A line for a run of `total` steps, of which `done` were made before (0 for a new run).
    #[must_use]
    pub fn new(total: u64, done: u64) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND));
        // `{wide_msg}` cuts the line at the terminal's width, so that it never wraps.
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        Self { bar, state: ProgressState::new(total, done, Instant::now()), last_plain: None, failure: RefCell::default() }
    }

    /// Shows a step.
    pub fn step(&mut self, record: &StepRecord) {
        let now = Instant::now();
        self.state.update(record, now);
        if !self.bar.is_hidden() {
            self.bar.set_message(self.state.line());
        } else if self.last_plain.is_none_or(|last| now - last >= PLAIN_INTERVAL) || record.step >= self.state.total {
            self.last_plain = Some(now);
            // A closed standard error is no reason to stop training.
            let _ = writeln!(io::stderr(), "{}", self.state.line());
        }
    }

    /// Shows a validation loss (nats per token, and per byte where tokens are not bytes) measured after `step`.
    pub fn validation(&self, step: u64, loss: f64, per_byte: Option<f64>) {
        let per_byte = per_byte.filter(|&nats| nats != loss).map_or_else(String::new, |nats| format!(", {nats:.4} nats a byte"));
        self.print(&format!("step {step}: validation loss {loss:.4}{per_byte}, perplexity {:.2}", loss.exp()));
    }

    /// Shows a sample of the model's text.
    pub fn sample(&self, step: u64, text: &str) {
        self.print(&format!("step {step}: sample\n{}", indented(text)));
    }

    /// Prints `text` above the progress line, without what could drive a terminal. After a failure nothing more is printed: see [`Self::failure`].
    pub fn print(&self, text: &str) {
        let mut failure = self.failure.borrow_mut();
        if failure.is_none() {
            *failure = self.bar.suspend(|| {
                let mut out = io::stdout().lock();
                writeln!(out, "{}", visible::text(text)).and_then(|()| out.flush()).err()
            });
        }
    }

    /// Whether standard output failed.
    pub fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    /// What standard output failed with.
    pub fn failure(self) -> Option<io::Error> {
        self.failure.into_inner()
    }

    /// Leaves the last line standing and gives the terminal back.
    pub fn finish(&self) {
        if !self.bar.is_hidden() && !self.bar.is_finished() {
            self.bar.abandon();
            // The cursor stands behind the line.
            let _ = writeln!(io::stderr());
        }
    }
}

/// Text indented by two spaces.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The figures behind the line, apart from the clock and the terminal.
#[derive(Debug)]
struct ProgressState {
    total: u64,
    step: u64,
    last: Instant,
    loss: Smoothed,
    tokens_per_second: Smoothed,
    frames_per_second: Smoothed,
    flip_rate: Smoothed,
    seconds_per_step: Smoothed,
    saturation: Option<f64>,
    waiting: Smoothed,
}

impl ProgressState {
    fn new(total: u64, done: u64, now: Instant) -> Self {
        Self {
            total,
            step: done,
            last: now,
            loss: Smoothed::default(),
            tokens_per_second: Smoothed::default(),
            frames_per_second: Smoothed::default(),
            flip_rate: Smoothed::default(),
            seconds_per_step: Smoothed::default(),
            saturation: None,
            waiting: Smoothed::default(),
        }
    }

    fn update(&mut self, record: &StepRecord, now: Instant) {
        let steps = record.step.saturating_sub(self.step).max(1);
        self.seconds_per_step.add((now - self.last).as_secs_f64() / steps as f64);
        self.step = record.step;
        self.last = now;
        self.loss.add(record.loss);
        self.tokens_per_second.add(record.tokens_per_second.unwrap_or(f64::NAN));
        self.frames_per_second.add(record.frames_per_second.unwrap_or(f64::NAN));
        self.flip_rate.add(record.flip_rate.unwrap_or(f64::NAN));
        self.waiting.add(record.waiting.unwrap_or(f64::NAN));
        self.saturation = record.saturation.or(self.saturation);
    }

    /// `step 120/500  loss 2.314  12.3k tok/s  flips 0.42%  sat. 3.1%  ETA 4m 05s`: short enough that a terminal
    /// of 80 columns shows the end of it, even for runs of tens of thousands of steps.
    fn line(&self) -> String {
        let width = self.total.to_string().len();
        let mut parts = vec![format!("step {:>width$}/{}", self.step, self.total)];
        let mut part = |value: Option<f64>, text: fn(f64) -> String| parts.extend(value.map(text));
        part(self.loss.value(), |loss| format!("loss {loss:.3}"));
        part(self.tokens_per_second.value(), |speed| format!("{} tok/s", short_count(speed)));
        part(self.frames_per_second.value(), |speed| format!("{} frames/s", short_count(speed)));
        part(self.flip_rate.value(), |rate| format!("flips {}%", short_percent(rate)));
        part(self.saturation.filter(|s| s.is_finite()), |share| format!("sat. {}%", short_percent(share)));
        part(self.waiting.value(), |share| format!("wait {}%", short_percent(share)));
        if let Some(seconds) = self.seconds_per_step.value()
            && self.step < self.total
        {
            parts.push(format!("ETA {}", short_duration(seconds * (self.total - self.step) as f64)));
        }
        parts.join("  ")
    }
}

/// An exponential moving average without the pull of a start value; values that are not finite are passed over.
#[derive(Clone, Copy, Debug, Default)]
struct Smoothed {
    sum: f64,
    weight: f64,
}

impl Smoothed {
    fn add(&mut self, value: f64) {
        if value.is_finite() {
            let keep = 1.0 - 1.0 / SMOOTHING_STEPS;
            self.sum = self.sum * keep + value;
            self.weight = self.weight * keep + 1.0;
        }
    }

    fn value(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// `640`, `12.3k`, `1.20M`: three digits.
fn short_count(value: f64) -> String {
    match value {
        v if v >= 999_500.0 => format!("{:.2}M", v / 1e6),
        v if v >= 99_950.0 => format!("{:.0}k", v / 1e3),
        v if v >= 9_995.0 => format!("{:.1}k", v / 1e3),
        v if v >= 99.5 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}

/// A share as a percentage with about two significant digits.
fn short_percent(share: f64) -> String {
    let percent = share * 100.0;
    let decimals = if percent >= 9.95 {
        0
    } else if percent >= 0.995 || percent == 0.0 {
        1
    } else if percent >= 0.0995 {
        2
    } else {
        3
    };
    format!("{percent:.decimals$}")
}

/// `45s`, `4m 05s`, `3h 20m`, `2d 04h`.
pub(super) fn short_duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    let (minutes, hours, days) = (whole / 60, whole / 3600, whole / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{whole}s"),
        (0, 0, _) => format!("{minutes}m {:02}s", whole % 60),
        (0, _, _) => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;

    fn record(step: u64, loss: f64) -> StepRecord {
        StepRecord { step, loss, ..StepRecord::default() }
    }

    #[test]
    fn line_shows_what_there_is() {
        let start = Instant::now();
        let mut state = ProgressState::new(500, 99, start);
        state.update(&record(100, 2.5), start + Duration::from_millis(500));
        assert_eq!(state.line(), "step 100/500  loss 2.500  ETA 3m 20s");
        let full = StepRecord { tokens_per_second: Some(12_345.0), flip_rate: Some(0.0042), saturation: Some(0.031), ..record(101, 2.5) };
        state.update(&full, start + Duration::from_secs(1));
        assert_eq!(state.line(), "step 101/500  loss 2.500  12.3k tok/s  flips 0.42%  sat. 3.1%  ETA 3m 20s");
        state.update(&record(500, 2.5), start + Duration::from_secs(2));
        assert!(!state.line().contains("ETA"), "{}", state.line());
    }

    #[test]
    fn a_long_run_fits_80_columns() {
        let start = Instant::now();
        let mut state = ProgressState::new(50_000, 9_999, start);
        let full =
            StepRecord { tokens_per_second: Some(12_345.0), flip_rate: Some(0.000_42), saturation: Some(0.031), ..record(10_000, 12.5) };
        state.update(&full, start + Duration::from_secs(1));
        let line = state.line();
        assert_eq!(line, "step 10000/50000  loss 12.500  12.3k tok/s  flips 0.042%  sat. 3.1%  ETA 11h 06m");
        assert!(line.len() <= 80, "{} columns: {line}", line.len());
    }

    #[test]
    fn one_loss_that_is_not_finite_does_not_stay() {
        let start = Instant::now();
        let mut state = ProgressState::new(3, 0, start);
        state.update(&record(1, f64::NAN), start);
        assert!(!state.line().contains("loss"), "{}", state.line());
        state.update(&record(2, 1.0), start);
        state.update(&record(2, f64::INFINITY), start);
        assert!(state.line().contains("loss 1.000"), "{}", state.line());
    }

    #[test]
    fn smoothing_starts_at_the_first_value_and_follows() {
        let mut smoothed = Smoothed::default();
        smoothed.add(8.0);
        assert_eq!(smoothed.value(), Some(8.0));
        for _ in 0..200 {
            smoothed.add(2.0);
        }
        let value = smoothed.value().unwrap();
        assert_abs_diff_eq!(value, 2.0, epsilon = 1e-3);
    }

    #[test]
    fn figures_are_short() {
        let counts = [0.0, 9.94, 640.4, 9_994.0, 12_345.0, 123_456.0, 1_234_567.0].map(short_count);
        assert_eq!(counts, ["0.0", "9.9", "640", "9994", "12.3k", "123k", "1.23M"]);
        let percents = [0.0, 0.00042, 0.0042, 0.031, 0.25, 1.0].map(short_percent);
        assert_eq!(percents, ["0.0", "0.042", "0.42", "3.1", "25", "100"]);
        let times = [-1.0, 45.2, 245.0, 12_000.0, 187_200.0].map(short_duration);
        assert_eq!(times, ["0s", "45s", "4m 05s", "3h 20m", "2d 04h"]);
    }
}
