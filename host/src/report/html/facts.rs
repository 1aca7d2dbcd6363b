//! The run in a few figures.

use std::fmt::Write;

use super::axis::figure;
use super::heat_map::percent;
use super::run_data::RunData;
use super::series::recent_mean;
use crate::report::progress::short_duration;

/// Tiles with the figures, then a warning about losses that were not finite.
pub(super) fn render(run: &RunData) -> String {
    let Some(last) = run.records.last() else { return String::new() };
    let mut facts: Vec<(&str, String, String)> = vec![("Steps", figure(last.step as f64), "recorded".into())];
    let speech = run.is_speech();
    if let Some(loss) = recent_mean(&run.curve(|r| Some(r.loss))) {
        facts.push(("Training loss", format!("{loss:.4}"), if speech { "sum of terms" } else { "nats/token" }.into()));
    }
    let validation = run.curve(|r| r.validation_loss.filter(|loss| loss.is_finite()));
    if let Some((step, loss)) = validation.iter().min_by(|a, b| a.1.total_cmp(&b.1)) {
        facts.push(("Best validation", format!("{loss:.4}"), format!("step {}", figure(*step))));
        if !speech {
            facts.push(("Perplexity", figure(loss.exp()), "of the best".into()));
        }
    }
    if let Some(tokens) = last.tokens {
        facts.push(("Tokens seen", figure(tokens as f64), "for training".into()));
    }
    if let Some(speed) = recent_mean(&run.curve(|r| r.tokens_per_second)) {
        facts.push(("Speed", figure(speed), "tokens/s".into()));
    }
    if let Some(speed) = recent_mean(&run.curve(|r| r.frames_per_second)) {
        facts.push(("Speed", figure(speed), "frames/s".into()));
    }
    if let Some(seconds) = last.seconds.filter(|s| s.is_finite()) {
        facts.push(("Time", short_duration(seconds), "of training".into()));
    }
    if let Some(rate) = recent_mean(&run.curve(|r| r.flip_rate)) {
        facts.push(("Flips", format!("{} %", percent(rate)), "per step".into()));
    }
    if let Some(share) = last.saturation {
        facts.push(("Saturation", format!("{} %", percent(share)), "at the rails".into()));
    }
    let mut out = String::from("<dl class=\"facts\">\n");
    for (name, value, unit) in facts {
        let _ = writeln!(out, "<div><dt>{name}</dt><dd>{value}<small>{unit}</small></dd></div>");
    }
    out += "</dl>\n";
    let broken: Vec<u64> = run.records.iter().filter(|r| !r.loss.is_finite()).map(|r| r.step).collect();
    if let Some(first) = broken.first() {
        let _ =
            writeln!(out, "<p class=\"note\">The loss was not finite on {} of the steps; the first was step {first}.</p>", broken.len());
    }
    out
}
