//! Votes and flips over whole tensors: the plain functions of `primal-device`, sixteen weights at a time, rows in parallel.

use multiversion::multiversion;
use primal_device::grid::{self, BLOCK, Grid, VoteBits};
use primal_device::kernels::vote::{GROUP as ROW_GROUP, TINY};
use primal_device::philox::{Stream, uniform, uniform_byte};
use primal_device::rules::votes::{VoteRule, VoteTable, rescale, wanted_move};
use primal_device::rules::{poltergeist, quantise};
use rayon::prelude::*;

use super::unpack::Codes;
use crate::backend::{RandomKey, VoteCast};

/// Blocks whose random bytes are drawn together.
const BLOCKS: usize = 16;
/// Rows a task takes at least.
const MIN_ROWS: usize = 16;

impl RandomKey {
    fn stream(&self) -> Stream {
        Stream::new(self.seed, self.tensor, self.step)
    }
}

/// How many weights flipped, and how many sit at a rail of the grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Codes that changed.
    pub flipped: u32,
    /// Codes at the first or last level.
    pub at_rail: u32,
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self { flipped: self.flipped + other.flipped, at_rail: self.at_rail + other.at_rail }
    }

    fn count(&mut self, grid: &Grid, before: u8, after: u8) {
        self.flipped += u32::from(before != after);
        self.at_rail += u32::from(after == grid.min || after == grid.max);
    }
}

/// The bytes of a block in a row, so many for each.
fn part<const BYTES: usize>(row: &[u8], block: usize) -> [u8; BYTES] {
    *row[block * BYTES..].first_chunk().expect("a block in the row")
}

fn part_mut<const BYTES: usize>(row: &mut [u8], block: usize) -> &mut [u8; BYTES] {
    row[block * BYTES..].first_chunk_mut().expect("a block in the row")
}

fn load_codes(row: &[u8], block: usize) -> [u8; BLOCK] {
    grid::unpack_codes(part(row, block))
}

fn store_codes(row: &mut [u8], block: usize, codes: &[u8; BLOCK]) {
    *part_mut(row, block) = grid::pack_codes(*codes);
}

fn load_votes(bits: VoteBits, row: &[u8], block: usize) -> [i8; BLOCK] {
    match bits {
        VoteBits::Eight => part(row, block).map(|byte: u8| byte as i8),
        VoteBits::Four => load_codes(row, block).map(|nibble| grid::vote_of_nibble(nibble) as i8),
    }
}

fn store_votes(bits: VoteBits, row: &mut [u8], block: usize, votes: &[i8; BLOCK]) {
    match bits {
        VoteBits::Eight => *part_mut(row, block) = votes.map(|vote| vote as u8),
        VoteBits::Four => store_codes(row, block, &votes.map(|vote| grid::nibble_of_vote(vote.into()))),
    }
}

/// `d_scale[i] += Σ_j dw[i][j] · level[code[i][j]]`.
pub fn scale_gradient(d_scale: &mut [f32], dw: &[f32], w: &Codes) {
    let inputs = dw.len() / d_scale.len();
    let rows = d_scale.par_iter_mut().zip(dw.par_chunks_exact(inputs)).zip(w.codes.par_chunks_exact(w.row_bytes));
    rows.with_min_len(MIN_ROWS).for_each(|((slot, dw), codes)| *slot += level_product(dw, codes, &w.grid.levels));
}

/// `Σ_j dw[j] · level[code[j]]` of a row.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn level_product(dw: &[f32], codes: &[u8], levels: &[f32; 16]) -> f32 {
    let mut sums = [0.0f32; BLOCK];
    let whole = dw.chunks_exact(BLOCK);
    let rest = whole.remainder();
    let blocks = dw.len() / BLOCK;
    for (block, dw) in whole.enumerate() {
        let codes = load_codes(codes, block);
        for j in 0..BLOCK {
            sums[j] += dw[j] * levels[(codes[j] & 15) as usize];
        }
    }
    if !rest.is_empty() {
        let codes = load_codes(codes, blocks);
        for ((sum, &g), &code) in sums.iter_mut().zip(rest).zip(&codes) {
            *sum += g * levels[code as usize];
        }
    }
    sums.iter().sum()
}

/// Running means of the squared gradient, by row and by column (Shazeer & Stern 2018, as Adafactor factors them).
fn update_moments(row: &mut [f32], column: &mut [f32], dw: &[f32], beta2: f32) {
    let (outputs, inputs) = (row.len(), column.len());
    row.par_iter_mut().zip(dw.par_chunks_exact(inputs)).with_min_len(MIN_ROWS).for_each(|(r, dw)| {
        *r = beta2 * *r + (1.0 - beta2) * (row_squares(dw) / inputs as f32);
    });
    column.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, column)| {
        let mut totals = [0.0f32; COLUMNS];
        for group in dw.chunks(GROUP * inputs) {
            let mut sums = [0.0f32; COLUMNS];
            for dw in group.chunks_exact(inputs) {
                add_squares(&mut sums, &dw[chunk * COLUMNS..][..column.len()]);
            }
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total += sum;
            }
        }
        for (c, sum) in column.iter_mut().zip(totals) {
            *c = beta2 * *c + (1.0 - beta2) * (sum / outputs as f32);
        }
    });
}

/// Columns that a task sums up.
const COLUMNS: usize = 64;
const GROUP: usize = ROW_GROUP as usize;

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn row_squares(dw: &[f32]) -> f32 {
    lanes_sum(dw, |g| g * g)
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn row_magnitudes(dw: &[f32]) -> f32 {
    lanes_sum(dw, f32::abs)
}

/// `Σ of(g)` in sixteen running sums.
#[inline(always)]
fn lanes_sum(dw: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0f32; BLOCK];
    for chunk in dw.chunks(BLOCK) {
        for (sum, &g) in sums.iter_mut().zip(chunk) {
            *sum += of(g);
        }
    }
    sums.iter().sum()
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn add_squares(sums: &mut [f32; COLUMNS], dw: &[f32]) {
    for (sum, &g) in sums.iter_mut().zip(dw) {
        *sum += g * g;
    }
}

/// Updates R and C with `dw`, then adds each weight's vote. `scratch` has `inputs` values.
#[expect(clippy::too_many_arguments, reason = "an op names all its operands")]
pub fn vote(
    votes: &mut [u8],
    bits: VoteBits,
    row: &mut [f32],
    column: &mut [f32],
    dw: &[f32],
    w: &Codes,
    cast: &VoteCast,
    scratch: &mut [f32],
) {
    update_moments(row, column, dw, cast.beta2);
    let (outputs, inputs) = (row.len(), column.len());
    let column_factor = &mut scratch[..inputs];
    for (factor, &c) in column_factor.iter_mut().zip(&*column) {
        *factor = 1.0 / (c / cast.bias_correction).max(TINY).sqrt();
    }
    let column_factor = &*column_factor;
    let mean = (row.iter().sum::<f32>() / outputs as f32).max(TINY);
    let (table, stream, blocks) = (VoteTable::new(&cast.rule, w.grid), cast.key.stream(), w.row_bytes * 2 / BLOCK);
    let row_bytes = votes.len() / outputs;
    votes.par_chunks_exact_mut(row_bytes).zip(dw.par_chunks_exact(inputs)).enumerate().with_min_len(MIN_ROWS).for_each(
        |(i, (votes, dw))| {
            let codes = &w.codes[i * w.row_bytes..][..w.row_bytes];
            let row_factor = 1.0 / (row[i] / mean).max(TINY).sqrt();
            let at = RowCast { table: &table, row_factor, scale: w.scale[i], lr: cast.lr, stream, first_block: (i * blocks) as u32 };
            match bits {
                VoteBits::Eight => vote_row_of_eight(votes, dw, column_factor, codes, &at),
                VoteBits::Four => vote_row_of_four(votes, dw, column_factor, codes, &at),
            }
        },
    );
}

/// What the weights of a row share when they vote.
struct RowCast<'a> {
    table: &'a VoteTable,
    row_factor: f32,
    scale: f32,
    lr: f32,
    stream: Stream,
    first_block: u32,
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn vote_row_of_eight(votes: &mut [u8], dw: &[f32], column_factor: &[f32], codes: &[u8], at: &RowCast) {
    vote_row(VoteBits::Eight, votes, dw, column_factor, codes, at);
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn vote_row_of_four(votes: &mut [u8], dw: &[f32], column_factor: &[f32], codes: &[u8], at: &RowCast) {
    vote_row(VoteBits::Four, votes, dw, column_factor, codes, at);
}

#[inline(always)]
fn vote_row(bits: VoteBits, votes: &mut [u8], dw: &[f32], column_factor: &[f32], codes: &[u8], at: &RowCast) {
    let mut random = [[0; BLOCK]; BLOCKS];
    for (block, (dw, factor)) in dw.chunks(BLOCK).zip(column_factor.chunks(BLOCK)).enumerate() {
        if block % BLOCKS == 0 {
            random = at.stream.bytes_of::<BLOCKS>(at.first_block + block as u32);
        }
        // The last block may be short: its padding votes on zero gradients, and the outcome is dropped.
        let (mut gradients, mut factors) = ([0.0f32; BLOCK], [0.0f32; BLOCK]);
        gradients[..dw.len()].copy_from_slice(dw);
        factors[..dw.len()].copy_from_slice(factor);
        let (codes, random) = (load_codes(codes, block), &random[block % BLOCKS]);
        let old = load_votes(bits, votes, block);
        let mut new = old;
        for j in 0..BLOCK {
            let wanted = wanted_move(gradients[j] * at.row_factor * factors[j], at.scale, at.lr);
            new[j] = at.table.cast(codes[j], i32::from(old[j]), wanted, uniform_byte(random[j])) as i8;
        }
        new[dw.len()..].copy_from_slice(&old[dw.len()..]);
        store_votes(bits, votes, block, &new);
    }
}

/// Flips where votes agree; see [`primal_device::rules::votes::flip`].
pub fn flip(codes: &mut [u8], votes: &mut [u8], bits: VoteBits, inputs: usize, grid: &Grid, rule: &VoteRule) -> Counts {
    let code_bytes = grid::row_bytes(inputs);
    let table = VoteTable::new(rule, grid);
    let vote_bytes = crate::backend::VoteState::row_bytes(bits, inputs);
    let rows = codes.par_chunks_exact_mut(code_bytes).zip(votes.par_chunks_exact_mut(vote_bytes));
    rows.with_min_len(MIN_ROWS)
        .map(|(codes, votes)| match bits {
            VoteBits::Eight => flip_row_of_eight(codes, votes, inputs, grid, &table),
            VoteBits::Four => flip_row_of_four(codes, votes, inputs, grid, &table),
        })
        .reduce(Counts::default, Counts::plus)
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn flip_row_of_eight(codes: &mut [u8], votes: &mut [u8], inputs: usize, grid: &Grid, table: &VoteTable) -> Counts {
    flip_row(VoteBits::Eight, codes, votes, inputs, grid, table)
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn flip_row_of_four(codes: &mut [u8], votes: &mut [u8], inputs: usize, grid: &Grid, table: &VoteTable) -> Counts {
    flip_row(VoteBits::Four, codes, votes, inputs, grid, table)
}

#[inline(always)]
fn flip_row(bits: VoteBits, codes: &mut [u8], votes: &mut [u8], inputs: usize, grid: &Grid, table: &VoteTable) -> Counts {
    let mut counts = Counts::default();
    for block in 0..inputs.div_ceil(BLOCK) {
        // Padding has the zero level and no votes: it neither flips nor is at a rail.
        let (mut code, mut vote) = (load_codes(codes, block), load_votes(bits, votes, block));
        let (mut flipped, mut at_rail) = (0, 0);
        for j in 0..BLOCK {
            let before = code[j];
            let (after, left) = table.flip(before, i32::from(vote[j]));
            (code[j], vote[j]) = (after, left as i8);
            flipped += u8::from(before != after);
            at_rail += u8::from((after == grid.min) | (after == grid.max));
        }
        counts = counts.plus(Counts { flipped: flipped.into(), at_rail: at_rail.into() });
        store_codes(codes, block, &code);
        store_votes(bits, votes, block, &vote);
    }
    counts
}

/// Widens the scale of rows that have more than `share` of their weights at a rail; see [`primal_device::rules::votes::rescale`].
#[expect(clippy::too_many_arguments, reason = "an op names all its operands")]
pub fn rescale_rows(
    codes: &mut [u8],
    scale: &mut [f32],
    votes: &mut [u8],
    bits: VoteBits,
    inputs: usize,
    grid: &Grid,
    rule: &VoteRule,
    share: f32,
    factor: f32,
) {
    let code_bytes = grid::row_bytes(inputs);
    let vote_bytes = crate::backend::VoteState::row_bytes(bits, inputs);
    let rows = codes.par_chunks_exact_mut(code_bytes).zip(votes.par_chunks_exact_mut(vote_bytes)).zip(scale.par_iter_mut());
    rows.with_min_len(MIN_ROWS).for_each(|((codes, votes), scale)| {
        let mut counts = [0u32; 16];
        grid::histogram(codes, inputs, &mut counts);
        let at_rail = counts[grid.min as usize] + counts[grid.max as usize];
        if at_rail as f32 <= share * inputs as f32 {
            return;
        }
        *scale *= factor;
        for block in 0..inputs.div_ceil(BLOCK) {
            let (mut code, mut vote) = (load_codes(codes, block), load_votes(bits, votes, block));
            for j in 0..BLOCK.min(inputs - block * BLOCK) {
                let (after, left) = rescale(rule, grid, code[j], i32::from(vote[j]), factor);
                (code[j], vote[j]) = (after, left as i8);
            }
            store_codes(codes, block, &code);
            store_votes(bits, votes, block, &vote);
        }
    });
}

/// The seed's vote: ±1 where |dw| > mean + z·std of |dw|. `scratch` has two values a row.
pub fn poltergeist_vote(votes: &mut [u8], dw: &[f32], w: &Codes, z: f32, scratch: &mut [f32]) {
    let outputs = w.scale.len();
    let inputs = dw.len() / outputs;
    let sums = &mut scratch[..2 * outputs];
    sums.par_chunks_exact_mut(2).zip(dw.par_chunks_exact(inputs)).with_min_len(MIN_ROWS).for_each(|(sums, dw)| {
        sums[0] = row_magnitudes(dw);
        sums[1] = row_squares(dw);
    });
    let (sum, squares) = sums.chunks_exact(2).fold((0.0f64, 0.0f64), |(a, b), s| (a + f64::from(s[0]), b + f64::from(s[1])));
    let count = dw.len() as f64;
    let mean = sum / count;
    let cutoff = (mean + f64::from(z) * (squares / count - mean * mean).max(0.0).sqrt()) as f32;
    let row_bytes = votes.len() / outputs;
    votes.par_chunks_exact_mut(row_bytes).zip(dw.par_chunks_exact(inputs)).zip(w.scale).with_min_len(MIN_ROWS).for_each(
        |((votes, dw), &scale)| {
            for (cell, &g) in votes.iter_mut().zip(dw) {
                let sum = i32::from(*cell as i8) + poltergeist::vote(g, scale, cutoff);
                *cell = sum.clamp(-127, 127) as i8 as u8;
            }
        },
    );
}

/// The seed's flip; clears the votes. Votes are 8-bit.
pub fn poltergeist_flip(
    codes: &mut [u8],
    votes: &mut [u8],
    scale: &[f32],
    inputs: usize,
    grid: &Grid,
    consensus: u32,
    key: RandomKey,
) -> Counts {
    let code_bytes = grid::row_bytes(inputs);
    let (stream, blocks) = (key.stream(), code_bytes * 2 / BLOCK);
    let rows = codes.par_chunks_exact_mut(code_bytes).zip(votes.par_chunks_exact_mut(grid::padded(inputs))).zip(scale);
    rows.enumerate()
        .with_min_len(MIN_ROWS)
        .map(|(i, ((codes, votes), &scale))| {
            let probability = poltergeist::probability(scale);
            let mut counts = Counts::default();
            for block in 0..inputs.div_ceil(BLOCK) {
                let (mut code, vote) = (load_codes(codes, block), load_votes(VoteBits::Eight, votes, block));
                // The probability may be below 1/256, so each weight takes a whole word here.
                for j in 0..BLOCK.min(inputs - block * BLOCK) {
                    let before = code[j];
                    if vote[j] != 0 {
                        let words = stream.words(((i * blocks + block) * 4 + j / 4) as u32);
                        code[j] = poltergeist::flip(grid, before, i32::from(vote[j]), consensus as i32, probability, uniform(words[j % 4]));
                    }
                    counts.count(grid, before, code[j]);
                }
                store_codes(codes, block, &code);
            }
            votes.fill(0);
            counts
        })
        .reduce(Counts::default, Counts::plus)
}

/// Shadow weights to the nearest codes.
pub fn quantize(codes: &mut [u8], scale: &[f32], shadow: &[f32], grid: &Grid) -> Counts {
    let inputs = shadow.len() / scale.len();
    let rows = codes.par_chunks_exact_mut(grid::row_bytes(inputs)).zip(shadow.par_chunks_exact(inputs)).zip(scale);
    rows.with_min_len(MIN_ROWS)
        .map(|((codes, shadow), &scale)| {
            let mut counts = Counts::default();
            let inverse = 1.0 / scale;
            for (block, values) in shadow.chunks(BLOCK).enumerate() {
                let mut code = load_codes(codes, block);
                for (code, &value) in code.iter_mut().zip(values) {
                    let before = *code;
                    *code = quantise::quantise(grid, value, inverse);
                    counts.count(grid, before, *code);
                }
                store_codes(codes, block, &code);
            }
            counts
        })
        .reduce(Counts::default, Counts::plus)
}

/// Straight-through estimator with a learned step: gradients pass inside the rails, `∂w/∂s` is `level − w/s` there and the level at a rail.
pub fn straight_through(d_shadow: &mut [f32], d_scale: &mut [f32], dw: &[f32], shadow: &[f32], w: &Codes) {
    let inputs = shadow.len() / w.scale.len();
    let largest = w.grid.largest();
    let rows = d_shadow
        .par_chunks_exact_mut(inputs)
        .zip(d_scale.par_iter_mut())
        .zip(dw.par_chunks_exact(inputs))
        .zip(shadow.par_chunks_exact(inputs));
    rows.enumerate().with_min_len(MIN_ROWS).for_each(|(i, (((d_shadow, d_scale), dw), shadow))| {
        let codes = &w.codes[i * w.row_bytes..][..w.row_bytes];
        let inverse = 1.0 / w.scale[i];
        let mut sum = 0.0f32;
        for (block, ((d_shadow, dw), shadow)) in d_shadow.chunks_mut(BLOCK).zip(dw.chunks(BLOCK)).zip(shadow.chunks(BLOCK)).enumerate() {
            let codes = load_codes(codes, block);
            for (j, ((d, &g), &value)) in d_shadow.iter_mut().zip(dw).zip(shadow).enumerate() {
                let (level, at) = (w.grid.levels[codes[j] as usize], value * inverse);
                sum += quantise::straight_through(g, level, at, largest, || *d += g);
            }
        }
        *d_scale += sum;
    });
}

/// How many weights have each code.
pub fn level_histogram(counts: &mut [u32], codes: &[u8], inputs: usize) {
    let total = codes
        .par_chunks_exact(grid::row_bytes(inputs))
        .with_min_len(MIN_ROWS)
        .fold(
            || [0u32; 16],
            |mut counts, row| {
                grid::histogram(row, inputs, &mut counts);
                counts
            },
        )
        .reduce(|| [0u32; 16], |a, b| std::array::from_fn(|i| a[i] + b[i]));
    counts.copy_from_slice(&total);
}
