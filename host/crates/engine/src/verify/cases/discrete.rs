//! What moves grid weights: votes, flips, the poltergeist rule, shadow weights. A single weight's arithmetic is that of the plain functions in
//! `primal-device`, which have hand-worked tests of their own; here the tensors around it are naive: statistics, order, packing, counts.

use half::f16;

use crate::backend::{Backend, Scales};
use crate::ops::{
    Flip, LevelHistogram, MoveScales, PoltergeistFlip, PoltergeistVote, Quantize, RandomKey, RescaleRows, ScaleGradient, StraightThrough,
    Tile, Vote, VoteCast, VoteState,
};
use primal_device::grid::{GROUP, Grid, ScaleForm, VoteBits, groups, padded};
use primal_device::philox::{RandomStream, uniform, uniform_byte};
use primal_device::rules::halves::round_at_random;
use primal_device::rules::poltergeist;
use primal_device::rules::votes::{self, VoteRule};

use super::linear::{OnGrid, pack, unpack};
use super::{EXACT, formats, sum_of, widen};
use crate::verify::harness::{Case, CaseBuffers, CaseSpans, Data, Slope, Tolerance, below, between, normal, random, unset};
use crate::verify::reference::dot;

/// Outputs and inputs: one, ragged against blocks of 16 and rows of 32, several tasks of rows, several groups of 512 rows, realistic.
const SHAPES: [[usize; 2]; 6] = [[1, 1], [3, 7], [5, 33], [50, 130], [1030, 65], [192, 768]];

/// How far a sum may be from where its floor changes for rounding of R, C and n in `f32` to decide: 1e-6 of a hundred votes.
const NEAR_INTEGER: f32 = 1e-4;

const KEY: RandomKey = RandomKey { seed: 0x5EED, tensor: 3, step: 7 };

pub fn rows<B: Backend + 'static>() -> Vec<Case<B>> {
    let mut rows = Vec::new();
    for [outputs, columns] in [[1, 1], [3, 2], [5, 7], [600, 3], [192, 24]] {
        rows.extend([1, 900].map(|t| move_scales(outputs, columns, t)));
    }
    for [outputs, inputs] in SHAPES {
        for (grid, scales) in formats(outputs * inputs) {
            let w = |codes| OnGrid { grid, scales, codes, outputs, inputs };
            let of_rows = scales == ScaleForm::Row;
            rows.push(scale_gradient(w(2)));
            for bits in [VoteBits::Eight, VoteBits::Four] {
                rows.extend(
                    [(1, false), (1, true), (900, false), (900, true)].map(|(t, is_natural)| cast(w(4), bits, t, is_natural, None)),
                );
                // The first rows of a matrix, of which 7 follow, and its last, after 48.
                let tiles =
                    [(1, false, (0, 7)), (900, true, (48, 0))].map(|(t, is_natural, tile)| cast(w(5), bits, t, is_natural, Some(tile)));
                rows.extend(tiles);
                rows.extend([1.0, 0.5].map(|kappa| flip(w(2), bits, kappa)));
                // No row, some rows, every row.
                let shares = if of_rows { &[1.0, 0.15, -1.0][..] } else { &[] };
                rows.extend(shares.iter().map(|&share| rescale_rows(w(1), bits, share)));
            }
            rows.extend([poltergeist_vote(w(2)), poltergeist(w(2)), quantize(w(2)), straight_through(w(4)), level_histogram(w(1))]);
        }
    }
    rows
}

fn name(w: OnGrid) -> String {
    format!("{} [{}, {}]", w.name(), w.outputs, w.inputs)
}

/// Rows of votes, packed and padded with zero votes.
fn pack_votes(votes: &[i32], bits: VoteBits, inputs: usize) -> Vec<u8> {
    let mut packed = Vec::new();
    for row in votes.chunks(inputs) {
        let mut row = row.to_vec();
        row.resize(padded(inputs), 0);
        match bits {
            VoteBits::Eight => packed.extend(row.iter().map(|&v| v as i8 as u8)),
            VoteBits::Four => packed.extend(row.chunks(2).map(|pair| (pair[0] + 8) as u8 | ((pair[1] + 8) as u8) << 4)),
        }
    }
    packed
}

fn unpack_votes(packed: &[u8], bits: VoteBits, inputs: usize) -> Vec<i32> {
    let rows = packed.chunks(VoteState::row_bytes(bits, inputs));
    rows.flat_map(|row| {
        (0..inputs).map(|j| match bits {
            VoteBits::Eight => i32::from(row[j] as i8),
            VoteBits::Four => i32::from(row[j / 2] >> (j % 2 * 4) & 15) - 8,
        })
    })
    .collect()
}

/// Votes from −A to A.
fn random_votes(bits: VoteBits, w: OnGrid, seed: u64) -> Data {
    let max = VoteRule::new(bits, 1.0).max;
    let votes: Vec<i32> = below(2 * max as usize + 1, w.outputs * w.inputs, seed).iter().map(|&v| v as i32 - max).collect();
    Data::U8(pack_votes(&votes, bits, w.inputs))
}

/// A gradient whose rows differ in size, and whose first row is zero if there are others.
fn uneven_gradient(w: OnGrid) -> Vec<f32> {
    let mut dw = normal(w.outputs * w.inputs, 31);
    for (i, row) in dw.chunks_mut(w.inputs).enumerate() {
        let size = if i == 0 && w.outputs > 1 { 0.0 } else { 0.001 * (1 + i % 5) as f32 };
        row.iter_mut().for_each(|g| *g *= size);
    }
    dw
}

/// The index of a weight among the padded rows: the counter of its random numbers.
fn counter(w: OnGrid, i: usize) -> u32 {
    (i / w.inputs * padded(w.inputs) + i % w.inputs) as u32
}

fn stream() -> RandomStream {
    RandomStream::new(KEY.seed, KEY.tensor, KEY.step)
}

fn scale_gradient<B: Backend>(w: OnGrid) -> Case<B> {
    let [codes, scales] = w.buffers(11);
    let (n, of_row) = (scales.floats().len(), groups(w.inputs));
    let buffers = vec![random(n, 1), random(w.outputs * w.inputs, 2), codes, scales];
    let op = move |s: &CaseSpans| {
        let part = |i: usize| s.f(0).slice(i * w.outputs * of_row, w.outputs * of_row);
        let d_scales = match w.scales {
            ScaleForm::Row => Scales::Row(s.f(0)),
            ScaleForm::Group32 => Scales::Group32 { step: part(0) },
            ScaleForm::Group32Offset => Scales::Group32Offset { step: part(0), offset: part(1) },
        };
        ScaleGradient { d_scales, dw: s.f(1), weight: w.weight(s) }
    };
    let reference = move |v: &mut CaseBuffers| {
        let mut sums = vec![0.0; n];
        for (i, (dw, level)) in v.f(1).iter().zip(w.levels(v)).enumerate() {
            let (row, group) = (i / w.inputs, i % w.inputs / GROUP);
            match w.scales {
                ScaleForm::Row => sums[row] += dw * level,
                ScaleForm::Group32 | ScaleForm::Group32Offset => {
                    sums[row * of_row + group] += dw * level * f64::from(w.grid.steps());
                    if w.scales == ScaleForm::Group32Offset {
                        sums[(w.outputs + row) * of_row + group] += dw;
                    }
                }
            }
        }
        v.add(0, sums);
    };
    let loss = move |v: &CaseBuffers| dot(v.f(1), &w.values(v));
    let (terms, size) = if w.scales == ScaleForm::Row { (w.inputs, 1.0) } else { (GROUP, f64::from(w.grid.steps())) };
    Case::new(name(w), buffers, op, reference, sum_of(terms, size)).gradient(&[Slope::Adds(w.codes + 1, 0)], loss)
}

/// Steps or offsets of groups, some of them so small that halves are multiples of 2⁻²⁴.
fn move_scales<B: Backend>(rows: usize, columns: usize, t: i32) -> Case<B> {
    let (n, beta2, lr) = (rows * columns, 0.98f32, 1e-4f32);
    let sizes = |i: usize| if i % 5 == 4 { 1e-5 } else { 0.02 };
    let scales: Vec<f16> = between(-1.0, 1.0, n, 1).iter().enumerate().map(|(i, x)| f16::from_f32(x * sizes(i))).collect();
    let means = |len, seed| if t == 1 { vec![0.0; len] } else { between(0.5, 2.0, len, seed) };
    let buffers = vec![Data::F16(scales), random(n, 2), Data::F32(means(rows, 3)), Data::F32(means(columns, 4))];
    let bias_correction = 1.0 - beta2.powi(t);
    let op = move |s: &CaseSpans| MoveScales {
        scales: s.h(0),
        gradient: s.f(1),
        row: s.f(2),
        column: s.f(3),
        lr,
        beta2,
        bias_correction,
        key: KEY,
    };
    let reference = move |v: &mut CaseBuffers| {
        let (gradient, beta2) = (v.f(1).to_vec(), f64::from(beta2));
        let running = |old: &f64, squares: f64, of: usize| beta2 * old + (1.0 - beta2) * squares / of as f64;
        let squares = |i: usize, j: usize| gradient[i * columns + j].powi(2);
        let row: Vec<f64> = (0..rows).map(|i| running(&v.f(2)[i], (0..columns).map(|j| squares(i, j)).sum(), columns)).collect();
        let column: Vec<f64> = (0..columns).map(|j| running(&v.f(3)[j], (0..rows).map(|i| squares(i, j)).sum(), rows)).collect();
        let (mean, words) = (row.iter().sum::<f64>() / rows as f64, stream());
        let moved = (0..n).map(|at| {
            let (i, j) = (at / columns, at % columns);
            let divisor = (row[i] / mean).sqrt() * (column[j] / f64::from(bias_correction)).sqrt();
            let target = v.f(0)[at] - f64::from(lr) * gradient[at] / divisor;
            f64::from(round_at_random(target as f32, words.words((at / 4) as u32)[at % 4]))
        });
        let moved: Vec<f64> = moved.collect();
        v.set(0, moved);
        v.set(2, row);
        v.set(3, column);
    };
    // A value that is rounded the other way by the last bits of its sum is a half away: a thousandth of itself.
    Case::new(format!("[{rows}, {columns}]"), buffers, op, reference, Tolerance { absolute: 1e-7, relative: 2e-3 })
}

/// Votes of a matrix, or of some of its rows: how many come before and after.
fn cast<B: Backend>(w: OnGrid, bits: VoteBits, t: i32, is_natural: bool, tile: Option<(usize, usize)>) -> Case<B> {
    let rule = VoteRule::new(bits, 1.0);
    let (beta2, lr) = (0.98f32, 6e-3f32);
    let cast = VoteCast { rule, lr, beta2, bias_correction: 1.0 - beta2.powi(t), is_natural, key: KEY };
    let means = |len, seed| if t == 1 { vec![0.0; len] } else { between(0.5e-6, 2e-6, len, seed) };
    let mut buffers =
        vec![random_votes(bits, w, 1), Data::F32(means(w.outputs, 2)), Data::F32(means(w.inputs, 3)), Data::F32(uneven_gradient(w))];
    // The squares of the rows before.
    buffers.extend(tile.map(|(before, _)| if before == 0 { unset(w.inputs) } else { Data::F32(between(0.5e-6, 2e-4, w.inputs, 4)) }));
    buffers.extend(w.buffers(11));
    let op = move |s: &CaseSpans| {
        let state = VoteState { votes: s.b(0), bits, row: s.f(1), column: s.f(2) };
        let tile = tile.map(|(before, after)| Tile { first: before, outputs: before + w.outputs + after, sums: s.f(4) });
        Vote { weight: w.weight(s), state, dw: s.f(3), cast, tile }
    };
    let reference = move |v: &mut CaseBuffers| {
        let (outputs, inputs, beta2) = (w.outputs, w.inputs, f64::from(beta2));
        let dw = v.f(3);
        let mean_square = |indices: &mut dyn Iterator<Item = usize>, n: usize| indices.map(|i| dw[i] * dw[i]).sum::<f64>() / n as f64;
        let r: Vec<f64> =
            (0..outputs).map(|i| beta2 * v.f(1)[i] + (1.0 - beta2) * mean_square(&mut (i * inputs..(i + 1) * inputs), inputs)).collect();
        let of_rows: Vec<f64> = (0..inputs).map(|j| mean_square(&mut (j..outputs * inputs).step_by(inputs), outputs)).collect();
        let updated =
            |squares: &[f64]| -> Vec<f64> { v.f(2).iter().zip(squares).map(|(c, square)| beta2 * c + (1.0 - beta2) * square).collect() };
        // What votes are divided by, and what is kept: of C, and of the sums over tiles.
        let c = updated(&of_rows);
        let (kept, sums, mean_r) = match tile {
            None => (c.clone(), None, r.iter().sum::<f64>() / outputs as f64),
            Some((before, after)) => {
                let earlier = |j: usize| if before == 0 { 0.0 } else { v.f(4)[j] };
                let sums: Vec<f64> = (0..inputs).map(|j| earlier(j) + of_rows[j] * outputs as f64).collect();
                let of_all: Vec<f64> = sums.iter().map(|sum| sum / (before + outputs + after) as f64).collect();
                let kept = if after == 0 { updated(&of_all) } else { v.f(2).to_vec() };
                (kept, Some(sums), c.iter().sum::<f64>() / inputs as f64)
            }
        };
        let first_row = tile.map_or(0, |(first, _)| first);
        let (codes, before) = (w.codes(v), unpack_votes(v.b(0), bits, inputs));
        let shifted = |by: f32| -> Vec<u8> {
            let new = (0..outputs * inputs).map(|i| {
                let (row, column) = (i / inputs, i % inputs);
                let root = (r[row] / mean_r * (c[column] / f64::from(cast.bias_correction))).sqrt();
                let spread = if is_natural { root * (r[row] / mean_r * (c[column] / mean_r)).sqrt() } else { root };
                let n = if dw[i] == 0.0 { 0.0 } else { dw[i] / spread };
                let (scale, _) = w.scale(v, i);
                let wanted = -n.clamp(-5.0, 5.0) * scale.signum() * f64::from(cast.lr) / scale.abs();
                let at = counter(w, i + first_row * inputs);
                let u = uniform_byte(stream().bytes(at / 16)[at as usize % 16]);
                votes::cast(&rule, w.grid, codes[i], before[i], wanted as f32, u + by)
            });
            pack_votes(&new.collect::<Vec<_>>(), bits, inputs)
        };
        let (low, high) = (shifted(-NEAR_INTEGER), shifted(NEAR_INTEGER));
        v.set(1, r);
        v.set(2, kept);
        sums.into_iter().for_each(|sums| v.set(4, sums));
        let width = if bits == VoteBits::Eight { 8 } else { 4 };
        v.set_either(0, low, high, width);
    };
    // Means of positive values: roundings relative to them.
    let tolerance = Tolerance { absolute: 0.0, relative: 2e-5 };
    let divisor = if is_natural { ", mean squares" } else { "" };
    let rows = tile.map_or(String::new(), |(before, after)| format!(", {before} rows before and {after} after"));
    Case::new(format!("{} {bits:?} bits, after {t} steps{divisor}{rows}", name(w)), buffers, op, reference, tolerance)
}

/// Whether a weight would go on if its row were scaled up: it is at an end of the grid that is not zero, or that an offset moves away from zero.
fn is_at_rail(w: OnGrid, code: u8) -> bool {
    let grid = w.grid;
    (code == grid.min || code == grid.max) && (w.scales == ScaleForm::Group32Offset || grid.level(code) != 0.0)
}

/// `[flipped, at a rail]`.
fn counts(w: OnGrid, before: &[u8], after: &[u8]) -> Vec<u32> {
    let flipped = before.iter().zip(after).filter(|(a, b)| a != b).count();
    let at_rail = after.iter().filter(|code| is_at_rail(w, **code)).count();
    vec![flipped as u32, at_rail as u32]
}

fn flip<B: Backend>(w: OnGrid, bits: VoteBits, kappa: f32) -> Case<B> {
    let rule = VoteRule::new(bits, kappa);
    let mut buffers = vec![random_votes(bits, w, 1), Data::U32(vec![9; 2])];
    buffers.extend(w.buffers(11));
    // The flip does not use R and C.
    buffers.extend([random(w.outputs, 2), random(w.inputs, 3)]);
    let op = move |s: &CaseSpans| {
        let state = VoteState { votes: s.b(0), bits, row: s.f(4), column: s.f(5) };
        Flip { weight: w.weight(s), state, rule, counts: s.u(1) }
    };
    let reference = move |v: &mut CaseBuffers| {
        let before = w.codes(v);
        let votes = unpack_votes(v.b(0), bits, w.inputs);
        let both = before.iter().zip(votes).map(|(&code, vote)| votes::flip(&rule, w.grid, code, vote));
        let (after, votes): (Vec<u8>, Vec<i32>) = both.unzip();
        v.set_b(w.codes, pack(&after, w.inputs));
        v.set_b(0, pack_votes(&votes, bits, w.inputs));
        v.set_u(1, counts(w, &before, &after));
    };
    Case::new(format!("{} {bits:?} bits, κ {kappa}", name(w)), buffers, op, reference, EXACT)
}

fn rescale_rows<B: Backend>(w: OnGrid, bits: VoteBits, share: f32) -> Case<B> {
    let (rule, factor) = (VoteRule::new(bits, 1.0), 1.5f32);
    let mut buffers = vec![random_votes(bits, w, 1)];
    buffers.extend(w.buffers(11));
    buffers.extend([random(w.outputs, 2), random(w.inputs, 3)]);
    let op = move |s: &CaseSpans| {
        let state = VoteState { votes: s.b(0), bits, row: s.f(3), column: s.f(4) };
        RescaleRows { weight: w.weight(s), state, rule, share, factor }
    };
    let reference = move |v: &mut CaseBuffers| {
        let grid = w.grid;
        let (mut codes, mut votes, mut scales) = (w.codes(v), unpack_votes(v.b(0), bits, w.inputs), v.f(w.codes + 1).to_vec());
        for (row, scale) in scales.iter_mut().enumerate() {
            let cells = row * w.inputs..(row + 1) * w.inputs;
            let at_rail = codes[cells.clone()].iter().filter(|code| is_at_rail(w, **code)).count();
            if at_rail as f64 > f64::from(share) * w.inputs as f64 {
                *scale *= f64::from(factor);
                for i in cells {
                    (codes[i], votes[i]) = votes::rescale(&rule, grid, codes[i], votes[i], factor);
                }
            }
        }
        v.set_b(w.codes, pack(&codes, w.inputs));
        v.set_b(0, pack_votes(&votes, bits, w.inputs));
        v.set(w.codes + 1, scales);
    };
    // The scale is multiplied once.
    let tolerance = Tolerance { absolute: 0.0, relative: 1e-7 };
    Case::new(format!("{} {bits:?} bits, share {share}", name(w)), buffers, op, reference, tolerance)
}

fn poltergeist_vote<B: Backend>(w: OnGrid) -> Case<B> {
    let z = 1.25f32;
    let mut buffers = vec![random_votes(VoteBits::Eight, w, 1), random(w.outputs * w.inputs, 2)];
    buffers.extend(w.buffers(11));
    let op = move |s: &CaseSpans| PoltergeistVote { weight: w.weight(s), votes: s.b(0), dw: s.f(1), z };
    let reference = move |v: &mut CaseBuffers| {
        let dw = v.f(1);
        let n = dw.len() as f64;
        let mean = dw.iter().map(|g| g.abs()).sum::<f64>() / n;
        let variance = dw.iter().map(|g| (g.abs() - mean).powi(2)).sum::<f64>() / n;
        let cutoff = mean + f64::from(z) * variance.sqrt();
        let before = unpack_votes(v.b(0), VoteBits::Eight, w.inputs);
        let beyond = |cutoff: f64| -> Vec<u8> {
            let new = before.iter().zip(dw).enumerate().map(|(i, (vote, g))| {
                let step = if g.abs() > cutoff { -(g * w.scale(v, i).0).signum() as i32 } else { 0 };
                (vote + step).clamp(-127, 127)
            });
            pack_votes(&new.collect::<Vec<_>>(), VoteBits::Eight, w.inputs)
        };
        // The statistics are rounded, and |dw| that equals the mean is not beyond it.
        let (low, high) = (beyond(cutoff * (1.0 - 1e-5)), beyond(cutoff * (1.0 + 1e-5)));
        v.set_either(0, low, high, 8);
    };
    Case::new(name(w), buffers, op, reference, EXACT)
}

fn poltergeist<B: Backend>(w: OnGrid) -> Case<B> {
    let consensus = 3;
    let votes: Vec<i32> = below(11, w.outputs * w.inputs, 1).iter().map(|&v| v as i32 - 5).collect();
    let mut buffers = vec![Data::U8(pack_votes(&votes, VoteBits::Eight, w.inputs)), Data::U32(vec![9; 2])];
    let [codes, _] = w.buffers(11);
    // Scales over the whole range of probabilities.
    buffers.extend([codes, w.scales_between(0.001, 0.1, 5)]);
    let op = move |s: &CaseSpans| PoltergeistFlip { weight: w.weight(s), votes: s.b(0), consensus, key: KEY, counts: s.u(1) };
    let reference = move |v: &mut CaseBuffers| {
        let before = w.codes(v);
        let votes = unpack_votes(v.b(0), VoteBits::Eight, w.inputs);
        let after = (0..before.len()).map(|i| {
            let probability = poltergeist::probability(w.scale(v, i).0 as f32);
            let at = counter(w, i);
            let random = uniform(stream().words(at / 4)[at as usize % 4]);
            poltergeist::flip(w.grid, before[i], votes[i], consensus as i32, probability, random)
        });
        let after: Vec<u8> = after.collect();
        v.set_b(0, vec![0; v.b(0).len()]);
        v.set_u(1, counts(w, &before, &after));
        v.set_b(w.codes, pack(&after, w.inputs));
    };
    Case::new(name(w), buffers, op, reference, EXACT)
}

/// The code of the level nearest to `x`, by looking at all of them.
fn nearest(grid: &'static Grid, x: f64) -> u8 {
    let distance = |code: &u8| (x - f64::from(grid.level(*code))).abs();
    // Of two with the same level, the upper one.
    (grid.min..=grid.max).rev().min_by(|a, b| distance(a).total_cmp(&distance(b))).expect("a level")
}

fn quantize<B: Backend>(w: OnGrid) -> Case<B> {
    let mut buffers = vec![random(w.outputs * w.inputs, 1), Data::U32(vec![9; 2])];
    buffers.extend(w.buffers(11));
    let op = move |s: &CaseSpans| Quantize { weight: w.weight(s), shadow: s.f(0), counts: s.u(1) };
    let reference = move |v: &mut CaseBuffers| {
        let before = w.codes(v);
        let after = v.f(0).iter().enumerate().map(|(i, x)| {
            let (scale, offset) = w.scale(v, i);
            nearest(w.grid, (x - offset) / scale)
        });
        let after: Vec<u8> = after.collect();
        v.set_u(1, counts(w, &before, &after));
        v.set_b(w.codes, pack(&after, w.inputs));
    };
    Case::new(name(w), buffers, op, reference, EXACT)
}

fn straight_through<B: Backend>(w: OnGrid) -> Case<B> {
    let n = w.outputs * w.inputs;
    let mut buffers = vec![random(n, 1), random(w.outputs, 2), random(n, 3), random(n, 4)];
    let [_, scales] = w.buffers(11);
    let (shadow, values) = (widen(&normal(n, 4)), scales.floats());
    let code = |(i, x): (usize, &f64)| {
        let (scale, offset) = w.scale_in(&values, i);
        nearest(w.grid, (x - offset) / scale)
    };
    let codes: Vec<u8> = shadow.iter().enumerate().map(code).collect();
    buffers.extend([Data::U8(pack(&codes, w.inputs)), scales]);
    let of_rows = w.scales == ScaleForm::Row;
    let op = move |s: &CaseSpans| StraightThrough {
        d_shadow: s.f(0),
        d_scale: of_rows.then(|| s.f(1)),
        dw: s.f(2),
        shadow: s.f(3),
        weight: w.weight(s),
    };
    let reference = move |v: &mut CaseBuffers| {
        let (levels, [lowest, highest]) = (w.levels(v), w.grid.range().map(f64::from));
        let (mut d_shadow, mut d_scale) = (vec![0.0; n], vec![0.0; w.outputs]);
        for (i, level) in levels.iter().enumerate() {
            let (row, g) = (i / w.inputs, v.f(2)[i]);
            let (scale, offset) = w.scale(v, i);
            let at = (v.f(3)[i] - offset) / scale;
            let inside = lowest <= at && at <= highest;
            d_shadow[i] = if inside { g } else { 0.0 };
            d_scale[row] += if inside { g * (level - at) } else { g * level };
        }
        v.add(0, d_shadow);
        if of_rows {
            v.add(1, d_scale);
        }
    };
    Case::new(name(w), buffers, op, reference, sum_of(w.inputs, 1.0))
}

fn level_histogram<B: Backend>(w: OnGrid) -> Case<B> {
    let mut buffers = vec![Data::U32(vec![9; 16])];
    buffers.extend(w.buffers(11));
    let op = move |s: &CaseSpans| LevelHistogram { counts: s.u(0), weight: w.weight(s) };
    let reference = move |v: &mut CaseBuffers| {
        let mut counts = vec![0; 16];
        for code in unpack(v.b(w.codes), w.inputs) {
            counts[usize::from(code)] += 1;
        }
        v.set_u(0, counts);
    };
    Case::new(name(w), buffers, op, reference, EXACT)
}
