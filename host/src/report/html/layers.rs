//! The part of the report that goes into each matrix of the grid.

use std::collections::HashMap;
use std::fmt::Write;

use super::axis::drawable;
use super::chart::{LineChart, Mark};
use super::heat_map::{HeatMap, percent, two_digits};
use super::levels::{self, Column, Levels};
use super::panel::panel;
use super::run_data::RunData;
use super::series::sample;
use super::svg::escape;
use primal_engine::train::ScaleSummary;

/// Steps shown in a card; in a wide chart.
const CARD_COLUMNS: usize = 40;
const WIDE_COLUMNS: usize = 200;

/// Columns of the heat map on a wide and on a narrow screen.
const HEAT_COLUMNS: (usize, usize) = (72, 24);

/// One matrix over the run.
#[derive(Default)]
struct LayerHistory {
    name: String,
    levels: Option<Levels>,
    flips: Vec<(u64, f64)>,
    saturation: Option<f64>,
    histograms: Vec<Column>,
    scales: Vec<(u64, ScaleSummary)>,
}

/// The layers in the order in which they first appear.
fn collect(run: &RunData) -> Vec<LayerHistory> {
    let mut layers: Vec<LayerHistory> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for record in &run.records {
        for found in record.layers.iter().flatten() {
            let place = *places.entry(&found.name).or_insert_with(|| {
                layers.push(LayerHistory { name: found.name.clone(), ..LayerHistory::default() });
                layers.len() - 1
            });
            let layer = &mut layers[place];
            layer.levels = found.levels.or(layer.levels);
            layer.saturation = found.saturation.or(layer.saturation);
            layer.flips.extend(found.flip_rate.map(|rate| (record.step, rate)));
            layer.histograms.extend(found.histogram.map(|counts| (record.step, counts)));
            layer.scales.extend(found.scale.map(|scale| (record.step, scale)));
        }
    }
    layers
}

/// Row scales of the whole network: the layers' medians, and the range they lie in.
pub(super) fn scale_chart(run: &RunData) -> Option<LineChart> {
    let (mut middle, mut range) = (Vec::new(), Vec::new());
    for record in &run.records {
        let scales = record.layers.iter().flatten().filter_map(|l| l.scale.map(|s| s.median));
        let mut medians: Vec<f64> = scales.filter(|&m| drawable(m)).collect();
        medians.sort_by(f64::total_cmp);
        if let (Some(&low), Some(&high)) = (medians.first(), medians.last()) {
            let step = record.step as f64;
            middle.push((step, medians[medians.len() / 2]));
            range.push((step, low, high));
        }
    }
    let chart = LineChart::new("Row scale", "step", "median of each layer").from_zero();
    (!middle.is_empty()).then(|| chart.band("all layers", 2, range).series("middle layer", 2, Mark::Line, middle))
}

/// Flip rates, level histograms and scales of every layer; nothing where no layer was recorded.
pub(super) fn render(run: &RunData) -> String {
    let layers = collect(run);
    let mut out = String::new();
    if layers.iter().any(|l| !l.flips.is_empty()) {
        out += "<h2>Flip rate by layer</h2>\n<p>Share of a matrix’s weights that changed their level in a step; colours are logarithmic.</p>\n";
        let map = |columns| heat_map(&layers, columns);
        out += &panel("panel full", "", &map(HEAT_COLUMNS.0).svg(1118.0), &map(HEAT_COLUMNS.1).svg(340.0)).replace("<h3></h3>\n", "");
    }
    for levels in grids(&layers) {
        let of_grid: Vec<&LayerHistory> = layers.iter().filter(|l| l.levels == levels && !l.histograms.is_empty()).collect();
        out += &grid_section(levels.as_ref(), &of_grid);
    }
    out
}

/// The different grids among layers that have histograms.
fn grids(layers: &[LayerHistory]) -> Vec<Option<Levels>> {
    let mut found: Vec<Option<Levels>> = Vec::new();
    for layer in layers.iter().filter(|l| !l.histograms.is_empty()) {
        if !found.contains(&layer.levels) {
            found.push(layer.levels);
        }
    }
    found
}

fn grid_section(levels: Option<&Levels>, layers: &[&LayerHistory]) -> String {
    let total = total_histogram(layers);
    let codes = levels::codes(levels, &total);
    let title = format!("Levels of {} on a grid of {} levels", count(layers.len(), "matrix", "matrices"), codes.len());
    let columns = sample(&total, WIDE_COLUMNS);
    let mut out =
        format!("<h2>{title}</h2>\n<p>Share of the weights on each level after every recorded step, the lowest level at the bottom.</p>\n");
    let stack = |width, height| levels::stack(&title, &columns, levels, &codes, (width, height), true);
    let body = |svg: String| levels::legend(levels, &codes) + &svg;
    out += &panel("panel full", "All of them", &body(stack(1118.0, 260.0)), &body(stack(340.0, 220.0)));
    out += "<div class=\"cards\">\n";
    for layer in layers {
        out += &card(layer, &codes);
    }
    out + "</div>\n"
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Histogram of all `layers` together at each step that recorded any of them.
fn total_histogram(layers: &[&LayerHistory]) -> Vec<Column> {
    let mut all: std::collections::BTreeMap<u64, [u64; 16]> = std::collections::BTreeMap::new();
    for (step, counts) in layers.iter().flat_map(|l| &l.histograms) {
        let sums = all.entry(*step).or_default();
        for (sum, n) in sums.iter_mut().zip(counts) {
            *sum = sum.saturating_add(*n);
        }
    }
    all.into_iter().collect()
}

fn card(layer: &LayerHistory, codes: &[usize]) -> String {
    let mut state = Vec::new();
    state.extend(layer.flips.last().map(|(_, rate)| format!("flips {} %", percent(*rate))));
    state.extend(layer.saturation.map(|share| format!("at rails {} %", percent(share))));
    let columns = sample(&layer.histograms, CARD_COLUMNS);
    let mut out = format!("<div class=\"card\">\n<h4>{}</h4>\n<p>{}</p>\n", escape(&layer.name), state.join(" · "));
    out += &levels::stack(&layer.name, &columns, layer.levels.as_ref(), codes, (240.0, 96.0), false);
    if let Some((_, scale)) = layer.scales.last() {
        let [min, median, max] = [scale.min, scale.median, scale.max].map(two_digits);
        let _ = writeln!(out, "<p class=\"scale\">row scale {median} <span>({min}–{max})</span></p>");
        out += &levels::scale_strip(&sample(&layer.scales, CARD_COLUMNS), 240.0, 44.0);
    }
    out + "</div>\n"
}

/// Mean flip rate of each layer over each of at most `limit` stretches of the run.
fn heat_map(layers: &[LayerHistory], limit: usize) -> HeatMap {
    let mut steps: Vec<u64> = layers.iter().flat_map(|l| l.flips.iter().map(|f| f.0)).collect();
    steps.sort_unstable();
    steps.dedup();
    let stretches = steps.len().min(limit);
    let stretch = |k: usize| &steps[k * steps.len() / stretches..(k + 1) * steps.len() / stretches];
    let columns: Vec<(u64, u64)> = (0..stretches).map(|k| (stretch(k)[0], stretch(k)[stretch(k).len() - 1])).collect();
    let row = |layer: &LayerHistory| {
        let mut sums = vec![(0.0, 0u32); stretches];
        for &(step, rate) in layer.flips.iter().filter(|f| drawable(f.1)) {
            let (sum, n) = &mut sums[columns.partition_point(|c| c.1 < step)];
            (*sum, *n) = (*sum + rate, *n + 1);
        }
        let means = sums.into_iter().map(|(sum, n)| (n > 0).then(|| sum / f64::from(n)));
        (layer.name.clone(), means.collect())
    };
    HeatMap { title: "Flip rate by layer".into(), rows: layers.iter().map(row).collect(), columns }
}
