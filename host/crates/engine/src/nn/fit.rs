//! Weights on a grid from float ones: codes, and the scales that fit best.
//!
//! Alternately each weight takes the nearest level and the scale is the one of least squares, as it is stored; what fits best of all rounds is kept.

use half::f16;
use primal_device::grid::{self, GROUP, Grid, PADDING, ScaleForm};
use rayon::prelude::*;

use super::parameters::MIN_SCALE;
use crate::backend::Scales;

/// Rounds, after which codes hardly change any more.
const ROUNDS: usize = 12;
/// Parts of the widest scale that rounds start from: levels reach the largest weight, or leave some out for finer steps.
const STARTS: [f32; 4] = [1.0, 0.9, 0.8, 0.7];

/// A weight on a grid, `[out, in]`, as an op takes it.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// Packed codes, `[out, row_bytes(in)]`.
    pub codes: Vec<u8>,
    /// What levels are multiplied by.
    pub scales: Scales<Vec<f32>, Vec<f16>>,
}

impl Fitted {
    /// The weights that it stands for, `[out, in_features]`.
    pub fn values(&self, in_features: usize, grid: &Grid) -> Vec<f32> {
        let row_bytes = grid::row_bytes(in_features);
        let (groups, numerators) = (grid::groups(in_features), grid.numerators());
        let line = |row: usize, at: usize| {
            let group = row * groups + at / GROUP;
            match &self.scales {
                Scales::Row(scale) => Line { factor: scale[row], offset: 0.0 },
                Scales::Group32 { step } => Line { factor: step[group].to_f32(), offset: 0.0 },
                Scales::Group32Offset { step, offset } => Line { factor: step[group].to_f32(), offset: offset[group].to_f32() },
            }
        };
        let table = if matches!(self.scales, Scales::Row(_)) { &grid.levels } else { &numerators };
        let rows = self.codes.chunks_exact(row_bytes).enumerate();
        rows.flat_map(|(row, codes)| {
            (0..in_features).map(move |at| {
                let Line { factor, offset } = line(row, at);
                factor * table[usize::from(grid::get(codes, at))] + offset
            })
        })
        .collect()
    }
}

/// Puts `weights`, `[out, in_features]`, on a grid with a scale for each row, whose levels reach the largest of its weights. Weights are finite.
pub fn fit_largest(weights: &[f32], in_features: usize, grid: &Grid) -> Fitted {
    let (rows, row_bytes) = (weights.len() / in_features, grid::row_bytes(in_features));
    let mut codes = vec![0; rows * row_bytes];
    let fit_row = |(weights, packed): (&[f32], &mut [u8])| {
        let factor = starts(weights, grid, ScaleForm::Row)[0].stored(ScaleForm::Row).factor;
        let codes: Vec<u8> = weights.iter().map(|w| grid.nearest(w / factor)).collect();
        grid::pack_row(&codes, packed);
        factor
    };
    let scales = weights.par_chunks(in_features).zip(codes.par_chunks_mut(row_bytes)).map(fit_row).collect();
    Fitted { codes, scales: Scales::Row(scales) }
}

/// Puts `weights`, `[out, in_features]`, on a grid. Weights are finite.
///
/// # Panics
/// If weights on the grid cannot have such scales.
pub fn fit(weights: &[f32], in_features: usize, grid: &Grid, form: ScaleForm) -> Fitted {
    assert!(form.is_for(grid), "{} scales on {}", form.name(), grid.name());
    let (rows, row_bytes) = (weights.len() / in_features, grid::row_bytes(in_features));
    let unit = if form == ScaleForm::Row { in_features } else { GROUP };
    let fit_row = |(row, packed): (&[f32], &mut [u8])| {
        let mut codes = vec![PADDING; grid::padded(in_features)];
        let lines = row.chunks(unit).zip(codes.chunks_mut(unit)).map(|(weights, codes)| line(weights, codes, grid, form));
        let lines: Vec<Line> = lines.collect();
        grid::pack_row(&codes, packed);
        lines
    };
    let mut codes = vec![0; rows * row_bytes];
    let lines: Vec<Line> = weights.par_chunks(in_features).zip(codes.par_chunks_mut(row_bytes)).flat_map_iter(fit_row).collect();
    let halves = |of: fn(&Line) -> f32| lines.iter().map(|line| f16::from_f32(of(line))).collect();
    let scales = match form {
        ScaleForm::Row => Scales::Row(lines.iter().map(|line| line.factor).collect()),
        ScaleForm::Group32 => Scales::Group32 { step: halves(|line| line.factor) },
        ScaleForm::Group32Offset => Scales::Group32Offset { step: halves(|line| line.factor), offset: halves(|line| line.offset) },
    };
    Fitted { codes, scales }
}

/// `w = factor · entry + offset`, as stored; entries are levels of rows, numerators of groups.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Line {
    factor: f32,
    offset: f32,
}

impl Line {
    /// What is left of it when it is stored.
    fn stored(self, form: ScaleForm) -> Self {
        let half = |x: f32| f16::from_f32(x.clamp(f16::MIN.to_f32(), f16::MAX.to_f32())).to_f32();
        match form {
            ScaleForm::Row => Self { factor: self.factor.max(MIN_SCALE), ..self },
            ScaleForm::Group32 | ScaleForm::Group32Offset => Self { factor: half(self.factor), offset: half(self.offset) },
        }
    }
}

/// Fits the weights of a row or of a group; writes their codes.
fn line(weights: &[f32], codes: &mut [u8], grid: &Grid, form: ScaleForm) -> Line {
    let (table, steps) = if form == ScaleForm::Row { (grid.levels, 1.0) } else { (grid.numerators(), grid.steps()) };
    let mut best = (f64::INFINITY, Line { factor: 0.0, offset: 0.0 });
    let mut trial = vec![0u8; weights.len()];
    for start in starts(weights, grid, form) {
        let mut now = Line { factor: start.factor / steps, offset: start.offset }.stored(form);
        for _ in 0..ROUNDS {
            let scale = now.factor * steps;
            if !(scale.is_finite() && now.offset.is_finite() && scale != 0.0) {
                break;
            }
            let mut error = 0.0;
            for (code, &w) in trial.iter_mut().zip(weights) {
                *code = grid.nearest((w - now.offset) / scale);
                error += f64::from(now.factor * table[usize::from(*code)] + now.offset - w).powi(2);
            }
            if error < best.0 {
                best = (error, now);
                codes[..trial.len()].copy_from_slice(&trial);
            }
            let next = least_squares(weights, &trial, &table, form).stored(form);
            if next == now {
                break;
            }
            now = next;
        }
    }
    if best.0.is_finite() {
        return best.1;
    }
    // A group of the same weights, or of some too small for a half.
    codes[..weights.len()].fill(grid.nearest(0.0));
    let mean = weights.iter().sum::<f32>() / weights.len() as f32;
    Line { factor: 0.0, offset: if form == ScaleForm::Group32Offset { mean } else { 0.0 } }.stored(form)
}

/// Scales and offsets to start from, as factors of levels.
fn starts(weights: &[f32], grid: &Grid, form: ScaleForm) -> Vec<Line> {
    let [lowest, highest] = grid.range();
    let (min, max) = weights.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &w| (a.min(w), b.max(w)));
    if form == ScaleForm::Group32Offset {
        let scale = (max - min) / (highest - lowest);
        let middle = 0.5 * (min + max);
        let line = |part: f32| Line { factor: part * scale, offset: middle - 0.5 * part * scale * (lowest + highest) };
        return STARTS.map(line).to_vec();
    }
    // The scale at which the levels of one sign reach the largest weight of this sign; on grids that reach farther below zero, of the other too.
    let reach = |low: f32, high: f32| {
        let below = if lowest < 0.0 { (low / lowest).max(0.0) } else { 0.0 };
        let above = if highest > 0.0 { (high / highest).max(0.0) } else { 0.0 };
        below.max(above)
    };
    let widest = reach(min, max);
    let mirrored = (form != ScaleForm::Row).then(|| -reach(-max, -min));
    let widest = [Some(widest), mirrored].into_iter().flatten();
    widest.flat_map(|widest| STARTS.map(|part| Line { factor: part * widest, offset: 0.0 })).collect()
}

/// The line of least squares through weights and the entries of their codes.
fn least_squares(weights: &[f32], codes: &[u8], table: &[f32; 16], form: ScaleForm) -> Line {
    let [mut x, mut y, mut xx, mut xy] = [0.0f64; 4];
    for (&w, &code) in weights.iter().zip(codes) {
        let (entry, w) = (f64::from(table[usize::from(code)]), f64::from(w));
        (x, y, xx, xy) = (x + entry, y + w, xx + entry * entry, xy + entry * w);
    }
    let n = weights.len() as f64;
    let (factor, offset) = match form {
        ScaleForm::Row | ScaleForm::Group32 => (xy / xx, 0.0),
        ScaleForm::Group32Offset => {
            let factor = (n * xy - x * y) / (n * xx - x * x);
            (factor, (y - factor * x) / n)
        }
    };
    Line { factor: factor as f32, offset: offset as f32 }
}

#[cfg(test)]
#[path = "fit_tests.rs"]
mod tests;
