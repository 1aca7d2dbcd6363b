//! Weights on a grid from float ones: codes, and the scales that fit best.
//!
//! Without offsets one number is sought: as a scale falls, one weight after another passes the middle between two levels. All these places are visited in
//! order, with sums for the scale of least squares kept up to date, so that the best of all is found. With offsets, alternately each weight takes the
//! nearest level and the line is the one of least squares, as it is stored; what fits best of all rounds is kept.

use half::f16;
use primal_device::grid::{self, GROUP, Grid, PADDING, ScaleForm, VoteBits};
use primal_device::rules::votes::VoteRule;
use rayon::prelude::*;

use super::parameters::MIN_SCALE;
use crate::backend::Scales;

/// Rounds, after which codes hardly change any more.
const ROUNDS: usize = 12;
/// Parts of the widest scale that rounds start from: levels reach the largest weight, or leave some out for finer steps.
const STARTS: [f32; 4] = [1.0, 0.9, 0.8, 0.7];
/// Parts of the widest scale between which the best is sought: beyond, levels are left out, or weights that are no rarities.
const WIDEST: f32 = 2.0;
const NARROWEST: f32 = 0.3;

/// A weight on a grid, `[out, in]`, as an op takes it.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// Packed codes, `[out, row_bytes(in)]`.
    pub codes: Vec<u8>,
    /// What levels are multiplied by.
    pub scales: Scales<Vec<f32>, Vec<f16>>,
}

/// The votes in which [`Fitted::remainders`] counts.
pub fn remainder_rule() -> VoteRule {
    VoteRule::new(VoteBits::Eight, 1.0)
}

impl Fitted {
    /// The weights that it stands for, `[out, in_features]`.
    pub fn values(&self, in_features: usize, grid: &Grid) -> Vec<f32> {
        let numerators = grid.numerators();
        let table = if matches!(self.scales, Scales::Row(_)) { &grid.levels } else { &numerators };
        let mut values = vec![0.0; self.codes.len() / grid::row_bytes(in_features) * in_features];
        values.par_chunks_mut(in_features).zip(self.codes.par_chunks_exact(grid::row_bytes(in_features))).enumerate().for_each(
            |(row, (values, codes))| {
                for (group, values) in values.chunks_mut(GROUP).enumerate() {
                    let Line { factor, offset } = self.line(row, group, in_features);
                    for (at, value) in values.iter_mut().enumerate() {
                        *value = factor * table[usize::from(grid::get(codes, group * GROUP + at))] + offset;
                    }
                }
            },
        );
        values
    }

    /// What entries of a group of a row are put into.
    fn line(&self, row: usize, group: usize, in_features: usize) -> Line {
        let at = row * grid::groups(in_features) + group;
        match &self.scales {
            Scales::Row(scale) => Line { factor: scale[row], offset: 0.0 },
            Scales::Group32 { step } => Line { factor: step[at].to_f32(), offset: 0.0 },
            Scales::Group32Offset { step, offset } => Line { factor: step[at].to_f32(), offset: offset[at].to_f32() },
        }
    }

    /// What `weights`, `[out, in_features]`, leave over, as votes of 8 bits, `[out, padded(in_features)]`: how far each is from its level, in quanta of the
    /// gap on that side ([`VoteRule`]). Beyond the last level it is short of the consensus, so that nothing flips before a gradient asks for it.
    pub fn remainders(&self, weights: &[f32], in_features: usize, grid: &Grid) -> Vec<i8> {
        let rule = remainder_rule();
        let most = (rule.threshold - 1) as f32;
        let steps = if matches!(self.scales, Scales::Row(_)) { 1.0 } else { grid.steps() };
        let width = grid::padded(in_features);
        let mut votes = vec![0i8; self.codes.len() / grid::row_bytes(in_features) * width];
        let rows = self.codes.par_chunks_exact(grid::row_bytes(in_features)).zip(weights.par_chunks(in_features));
        votes.par_chunks_mut(width).zip(rows).enumerate().for_each(|(row, (votes, (codes, weights)))| {
            for (at, (vote, &weight)) in votes.iter_mut().zip(weights).enumerate() {
                let Line { factor, offset } = self.line(row, at / GROUP, in_features);
                let scale = factor * steps;
                if scale != 0.0 {
                    let code = grid::get(codes, at);
                    let left = (weight - offset) / scale - grid.level(code);
                    let vote_of = rule.quantum * left / grid.gap(code, left > 0.0);
                    *vote = vote_of.round().clamp(-most, most) as i8;
                }
            }
        });
        votes
    }
}

/// Puts `weights`, `[out, in_features]`, on a grid with a scale for each row, whose levels reach the largest of its weights. Weights are finite.
pub fn fit_largest(weights: &[f32], in_features: usize, grid: &Grid) -> Fitted {
    let (rows, row_bytes) = (weights.len() / in_features, grid::row_bytes(in_features));
    let mut codes = vec![0; rows * row_bytes];
    let fit_row = |(weights, packed): (&[f32], &mut [u8])| {
        let (min, max) = ends(weights);
        let factor = Line { factor: reach(grid, min, max), offset: 0.0 }.stored(ScaleForm::Row).factor;
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
    let mut fit = Fit::new(weights, codes, grid, form);
    match form {
        ScaleForm::Group32Offset => fit.alternate(),
        ScaleForm::Row | ScaleForm::Group32 => fit.sweep(),
    }
    if fit.best.0.is_finite() {
        return fit.best.1;
    }
    // A group of the same weights, or of some too small for a half.
    codes[..weights.len()].fill(grid.nearest(0.0));
    let mean = weights.iter().sum::<f32>() / weights.len() as f32;
    Line { factor: 0.0, offset: if form == ScaleForm::Group32Offset { mean } else { 0.0 } }.stored(form)
}

/// The fit of a row or of a group.
struct Fit<'a> {
    weights: &'a [f32],
    grid: &'a Grid,
    form: ScaleForm,
    /// What codes stand for, and how much of it is a level of 1.
    table: [f32; 16],
    steps: f32,
    /// Whether entries are whole numbers in a row, of which rounding finds the nearest.
    is_even: bool,
    /// The least sum of squares so far, and its line.
    best: (f64, Line),
    /// Its codes.
    codes: &'a mut [u8],
    trial: Vec<u8>,
}

impl<'a> Fit<'a> {
    fn new(weights: &'a [f32], codes: &'a mut [u8], grid: &'a Grid, form: ScaleForm) -> Self {
        let (table, steps) = if form == ScaleForm::Row { (grid.levels, 1.0) } else { (grid.numerators(), grid.steps()) };
        let is_even = (grid.min..grid.max).all(|code| table[usize::from(code) + 1] - table[usize::from(code)] == 1.0);
        let best = (f64::INFINITY, Line { factor: 0.0, offset: 0.0 });
        Self { weights, grid, form, table, steps, is_even, best, codes, trial: vec![0; weights.len()] }
    }

    /// Gives each weight the nearest entry of the line, and keeps both if no line was better; whether it is a line.
    fn consider(&mut self, line: Line) -> bool {
        let Line { factor, offset } = line;
        let scale = factor * self.steps;
        if !(scale.is_finite() && offset.is_finite() && scale != 0.0) {
            return false;
        }
        if self.is_even {
            let (by, first) = (1.0 / factor, self.table[usize::from(self.grid.min)]);
            let (min, last) = (self.grid.min, f32::from(self.grid.max - self.grid.min));
            for (code, &w) in self.trial.iter_mut().zip(self.weights) {
                *code = min + ((w - offset) * by - first).round_ties_even().clamp(0.0, last) as u8;
            }
        } else {
            for (code, &w) in self.trial.iter_mut().zip(self.weights) {
                *code = self.grid.nearest((w - offset) / scale);
            }
        }
        let values = self.trial.iter().map(|&code| factor * self.table[usize::from(code)] + offset);
        let error = values.zip(self.weights).map(|(value, w)| f64::from(value - w).powi(2)).sum::<f64>();
        if error < self.best.0 {
            self.best = (error, line);
            self.codes[..self.trial.len()].copy_from_slice(&self.trial);
        }
        true
    }

    fn alternate(&mut self) {
        for start in starts(self.weights, self.grid) {
            let mut now = Line { factor: start.factor / self.steps, offset: start.offset }.stored(self.form);
            for _ in 0..ROUNDS {
                if !self.consider(now) {
                    break;
                }
                let next = least_squares(self.weights, &self.trial, &self.table).stored(self.form);
                if next == now {
                    break;
                }
                now = next;
            }
        }
    }

    /// Finds the best scale without an offset, then the best of those that are stored near it.
    fn sweep(&mut self) {
        let (min, max) = ends(self.weights);
        let mut places = Vec::with_capacity(8 * self.weights.len());
        let ahead = best_scale(self.weights, self.grid, 1.0, reach(self.grid, min, max), &mut places);
        let mut best = ahead;
        if self.form != ScaleForm::Row {
            let mirrored = best_scale(self.weights, self.grid, -1.0, reach(self.grid, -max, -min), &mut places);
            if mirrored.0 > best.0 {
                best = (mirrored.0, -mirrored.1);
            }
        }
        let form = self.form;
        let line = |factor: f32| Line { factor, offset: 0.0 }.stored(form);
        let middle = line(best.1 / self.steps);
        if self.form == ScaleForm::Row {
            self.consider(middle);
            return;
        }
        let half = f16::from_f32(middle.factor).to_bits();
        for near in half.saturating_sub(2)..=half.saturating_add(2) {
            self.consider(line(f16::from_bits(near).to_f32()));
        }
    }
}

/// The positive scale of levels that fits `sign · weights` best, and by how much it lessens their sum of squares; none and zero where nothing does. `widest`
/// is the scale at which the levels reach the largest weights. `places` is used.
fn best_scale(weights: &[f32], grid: &Grid, sign: f32, widest: f32, places: &mut Vec<u64>) -> (f64, f32) {
    let mut best = (0.0, 0.0);
    let (highest, lowest) = (WIDEST * widest, NARROWEST * widest);
    if !(lowest > 0.0 && highest.is_finite()) {
        return best;
    }
    let level = |code: u8| grid.level(code);
    places.clear();
    // Sums of weights by levels, and of squares of levels.
    let (mut by_levels, mut squares) = (0.0f64, 0.0f64);
    for (at, &w) in weights.iter().enumerate() {
        let w = sign * w;
        let mut code = grid.nearest(w / highest);
        by_levels += f64::from(w * level(code));
        squares += f64::from(level(code).powi(2));
        // As the scale falls, the weight moves outward: over the middle of its level and the next.
        loop {
            let next = if w > 0.0 { code + 1 } else { code.wrapping_sub(1) };
            if w == 0.0 || !(grid.min..=grid.max).contains(&next) {
                break;
            }
            let scale = w / (0.5 * (level(code) + level(next)));
            if scale.is_nan() || scale <= lowest {
                break;
            }
            places.push(u64::from(scale.to_bits()) << 32 | (at as u64) << 4 | u64::from(code));
            code = next;
        }
    }
    let mut consider = |by_levels: f64, squares: f64| {
        let lessened = by_levels * by_levels / squares;
        if by_levels > 0.0 && lessened > best.0 {
            best = (lessened, (by_levels / squares) as f32);
        }
    };
    consider(by_levels, squares);
    // Positive floats are in the order of their bits.
    places.sort_unstable_by(|a, b| b.cmp(a));
    for place in places {
        let (at, code) = ((*place as u32 >> 4) as usize, (*place & 15) as u8);
        let w = sign * weights[at];
        let next = if w > 0.0 { code + 1 } else { code - 1 };
        by_levels += f64::from(w * (level(next) - level(code)));
        squares += f64::from(level(next).powi(2) - level(code).powi(2));
        consider(by_levels, squares);
    }
    best
}

/// The smallest and the largest.
fn ends(weights: &[f32]) -> (f32, f32) {
    weights.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &w| (a.min(w), b.max(w)))
}

/// The scale at which the levels of one sign reach the largest weight of this sign; on grids that reach farther below zero, of the other too.
fn reach(grid: &Grid, min: f32, max: f32) -> f32 {
    let [lowest, highest] = grid.range();
    let below = if lowest < 0.0 { (min / lowest).max(0.0) } else { 0.0 };
    let above = if highest > 0.0 { (max / highest).max(0.0) } else { 0.0 };
    below.max(above)
}

/// Lines with offsets to start from, as factors of levels.
fn starts(weights: &[f32], grid: &Grid) -> [Line; 4] {
    let ([lowest, highest], (min, max)) = (grid.range(), ends(weights));
    let scale = (max - min) / (highest - lowest);
    let middle = 0.5 * (min + max);
    STARTS.map(|part| Line { factor: part * scale, offset: middle - 0.5 * part * scale * (lowest + highest) })
}

/// The line of least squares through weights and the entries of their codes.
fn least_squares(weights: &[f32], codes: &[u8], table: &[f32; 16]) -> Line {
    let [mut x, mut y, mut xx, mut xy] = [0.0f64; 4];
    for (&w, &code) in weights.iter().zip(codes) {
        let (entry, w) = (f64::from(table[usize::from(code)]), f64::from(w));
        (x, y, xx, xy) = (x + entry, y + w, xx + entry * entry, xy + entry * w);
    }
    let n = weights.len() as f64;
    let factor = (n * xy - x * y) / (n * xx - x * x);
    Line { factor: factor as f32, offset: ((y - factor * x) / n) as f32 }
}

#[cfg(test)]
#[path = "fit_tests.rs"]
mod tests;
