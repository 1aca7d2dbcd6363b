//! `RUN/report.html`: one page that shows how a run went. It needs nothing but itself: no network, no script.
//!
//! Charts of the page are drawn twice, for wide and for narrow screens, so that their type keeps its size.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::metrics::StepRecord;
use crate::Result;
use primal_engine::files::durable;

mod axis;
pub mod chart;
mod facts;
mod heat_map;
mod layers;
mod levels;
mod panel;
mod run_data;
mod series;
pub mod svg;

use chart::{LineChart, Mark};
pub use run_data::RunData;
use series::smooth;
use svg::escape;

/// The report's name inside a run folder.
pub const FILE_NAME: &str = "report.html";

/// Writes the report of a run into its folder, in place of an earlier one, and returns its path.
///
/// # Errors
/// When the metrics cannot be read or the page cannot be written; an earlier report is then as it was.
pub fn write_report(run_dir: &Path) -> Result<PathBuf> {
    let page = render(&RunData::load(run_dir)?);
    let path = run_dir.join(FILE_NAME);
    durable::write(&path, page.as_bytes())?;
    Ok(path)
}

/// The report as an HTML page.
#[must_use]
pub fn render(run: &RunData) -> String {
    let name = escape(&run.name);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{name} · training report</title>\n\
         <style>\n{}{}{}\n</style>\n</head>\n<body>\n<main>\n<h1>{name}</h1>\n",
        chart::STYLE,
        include_str!("html/page.css"),
        levels::style()
    );
    if run.records.is_empty() {
        page += "<p>No step is recorded yet. The page fills when training has begun.</p>\n";
    } else {
        page += &facts::render(run);
        page += &curves(run);
        page += &layers::render(run);
    }
    if !run.config.trim().is_empty() {
        page += &format!("<details open>\n<summary>Configuration</summary>\n<pre>{}</pre>\n</details>\n", escape(run.config.trim_end()));
    }
    page + "</main>\n</body>\n</html>\n"
}

/// The curves of the whole run.
fn curves(run: &RunData) -> String {
    let mut out = String::from("<div class=\"charts\">\n");
    let loss = run.curve(|r| Some(r.loss));
    let speech = run.is_speech();
    let unit = if speech { "weighted sum of its terms" } else { "nats per token" };
    let mut chart = LineChart::new("Loss", "step", unit).series("training, each step", 0, Mark::Faint, loss.clone()).series(
        "training, smoothed",
        0,
        Mark::Line,
        smooth(&loss),
    );
    let validation = run.curve(|r| r.validation_loss);
    // The validation loss of speech is one of the terms.
    if !validation.is_empty() && !speech {
        chart = chart.series("validation", 1, Mark::Dots, validation);
    }
    out += &panel::of_chart(&chart, true);
    for term in run.terms() {
        out += &panel::of_chart(&term_chart(run, term), false);
    }

    let share = |value: fn(&StepRecord) -> Option<f64>| run.curve(move |r| value(r).map(|share| share * 100.0));
    let panels = [
        ("Learning rate", "per step", 2, run.curve(|r| r.learning_rate), false),
        ("Flip rate", "% of grid weights per step", 0, share(|r| r.flip_rate), true),
        ("Saturation", "% of grid weights at the lowest or highest level", 3, share(|r| r.saturation), true),
        ("Speed", "tokens per second", 6, run.curve(|r| r.tokens_per_second), true),
        ("Speed", "frames per second", 6, run.curve(|r| r.frames_per_second), true),
        ("Gradient norm", "before clipping", 4, run.curve(|r| r.grad_norm), true),
    ];
    for (title, unit, color, points, noisy) in panels {
        if points.is_empty() {
            continue;
        }
        let mut chart = LineChart::new(title, "step", unit).from_zero();
        if noisy && points.len() > 20 {
            chart = chart.series("each step", color, Mark::Faint, points.clone());
            chart = chart.series("smoothed", color, Mark::Line, smooth(&points));
        } else {
            chart = chart.series("value", color, Mark::Line, points);
        }
        out += &panel::of_chart(&chart, false);
    }
    if let Some(chart) = layers::scale_chart(run) {
        out += &panel::of_chart(&chart, false);
    }
    out + "</div>\n"
}

/// A term of the loss, in training and validation.
fn term_chart(run: &RunData, term: &str) -> LineChart {
    let of = |losses: fn(&StepRecord) -> &Option<BTreeMap<String, f64>>| {
        run.curve(move |record| losses(record).as_ref().and_then(|terms| terms.get(term).copied()))
    };
    let (train, validation) = (of(|record| &record.losses), of(|record| &record.validation_losses));
    let unit = if term.starts_with("mel") { "mean absolute error, natural logarithm" } else { "mean squared error" };
    LineChart::new(&format!("Loss: {term}"), "step", unit)
        .series("training, each step", 0, Mark::Faint, train.clone())
        .series("training, smoothed", 0, Mark::Line, smooth(&train))
        .series("validation", 1, Mark::Dots, validation)
}

#[cfg(test)]
mod tests;
