//! Votes on the CPU.

use multiversion::multiversion;
use primal_device::grid::{BLOCK, VoteBits};
use primal_device::kernels::vote::{GROUP as ROW_GROUP, TINY};
use primal_device::philox::{RandomStream, uniform_byte};
use primal_device::rules::votes::{VoteTable, wanted_move};
use rayon::prelude::*;

use super::{Tile, Vote, VoteCast, VoteState};
use crate::backend::cpu::Cpu;
use crate::backend::cpu::blocks::{MIN_ROWS, load_codes, load_votes, row_squares, store_votes};
use crate::backend::cpu::unpack::Codes;
use crate::backend::{GridWeight, RunOn};

/// Blocks whose random bytes are drawn together.
const BLOCKS: usize = 16;

/// The running mean of the squared gradient of each row (Shazeer & Stern 2018, as Adafactor factors them).
fn update_rows(row: &mut [f32], dw: &[f32], beta2: f32) {
    let inputs = dw.len() / row.len();
    row.par_iter_mut().zip(dw.par_chunks_exact(inputs)).with_min_len(MIN_ROWS).for_each(|(r, dw)| {
        *r = running(beta2, *r, row_squares(dw) / inputs as f32);
    });
}

/// `β₂·old + (1 − β₂)·mean square`.
fn running(beta2: f32, old: f32, mean_square: f32) -> f32 {
    beta2 * old + (1.0 - beta2) * mean_square
}

/// Gives the sums of the squared gradient of each column to what is kept of it.
fn with_column_squares<T: Send>(columns: &mut [T], dw: &[f32], take: impl Fn(&mut T, f32) + Sync) {
    let inputs = columns.len();
    columns.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, columns)| {
        let mut totals = [0.0f32; COLUMNS];
        for group in dw.chunks(GROUP * inputs) {
            let mut sums = [0.0f32; COLUMNS];
            for dw in group.chunks_exact(inputs) {
                add_squares(&mut sums, &dw[chunk * COLUMNS..][..columns.len()]);
            }
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total += sum;
            }
        }
        columns.iter_mut().zip(totals).for_each(|(column, sum)| take(column, sum));
    });
}

fn mean_of(squares: &[f32]) -> f32 {
    (squares.iter().sum::<f32>() / squares.len() as f32).max(TINY)
}

/// Updates R and C by a gradient; writes what its columns are multiplied by and returns the mean of R, over which the ratios of rows are; `decay` is β₂ and
/// what corrects for its start.
pub(in crate::ops) fn divisors(
    row: &mut [f32],
    column: &mut [f32],
    dw: &[f32],
    factor: &mut [f32],
    [beta2, bias_correction]: [f32; 2],
    is_natural: bool,
) -> f32 {
    let outputs = row.len() as f32;
    update_rows(row, dw, beta2);
    with_column_squares(column, dw, |c, sum| *c = running(beta2, *c, sum / outputs));
    // The mean of R is that of C, too.
    let mean = mean_of(row);
    factor.copy_from_slice(column);
    to_factors(factor, mean, bias_correction, is_natural);
    mean
}

/// Turns C to what columns are multiplied by.
fn to_factors(factor: &mut [f32], mean: f32, bias_correction: f32, is_natural: bool) {
    for factor in factor {
        let c = *factor;
        let root = (c / bias_correction).max(TINY).sqrt();
        *factor = 1.0 / if is_natural { root * (c / mean).max(TINY).sqrt() } else { root };
    }
}

/// The same of a tile: the columns' sums are those over tiles so far.
fn tile_divisors(row: &mut [f32], [column, sums]: [&mut [f32]; 2], dw: &[f32], factor: &mut [f32], tile: &Tile, cast: &VoteCast) -> f32 {
    let (rows, outputs, beta2) = (row.len(), tile.outputs, cast.beta2);
    let (is_first, is_last) = (tile.first == 0, tile.first + rows == outputs);
    update_rows(row, dw, beta2);
    with_column_squares(factor, dw, |sum, of_tile| *sum = of_tile);
    for ((factor, c), sum) in factor.iter_mut().zip(column).zip(sums) {
        let of_tile = *factor;
        *sum = if is_first { of_tile } else { *sum + of_tile };
        *factor = running(beta2, *c, of_tile / rows as f32);
        if is_last {
            *c = running(beta2, *c, *sum / outputs as f32);
        }
    }
    let mean = mean_of(factor);
    to_factors(factor, mean, cast.bias_correction, cast.is_natural);
    mean
}

/// Columns that a task sums up.
const COLUMNS: usize = 64;
const GROUP: usize = ROW_GROUP as usize;

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn add_squares(sums: &mut [f32; COLUMNS], dw: &[f32]) {
    for (sum, &g) in sums.iter_mut().zip(dw) {
        *sum += g * g;
    }
}

impl RunOn<Cpu> for Vote {
    fn run_on(self, cpu: &mut Cpu) {
        let (VoteState { votes, bits, row, column }, cast) = (self.state, self.cast);
        let GridWeight { grid, codes, scales } = *self.weight.grid();
        let sums = self.tile.map_or(row.slice(0, 0), |tile| tile.sums);
        let written = (votes, row, column, cpu.scratch(), sums);
        let ((votes, row, column, scratch, sums), (dw, codes, scales)) = cpu.split(written, (self.dw, codes, scales));
        let w = Codes::new(codes, scales, grid, self.weight.in_features);
        let (outputs, inputs) = (row.len(), column.len());
        let column_factor = &mut scratch[..inputs];
        let mean = match self.tile {
            None => divisors(row, column, dw, column_factor, [cast.beta2, cast.bias_correction], cast.is_natural),
            Some(tile) => tile_divisors(row, [&mut *column, sums], dw, column_factor, &tile, &cast),
        };
        let (column_factor, first_row) = (&*column_factor, self.tile.map_or(0, |tile| tile.first));
        let (table, stream, blocks) = (VoteTable::new(&cast.rule, w.grid()), cast.key.stream(), w.row_bytes * 2 / BLOCK);
        let row_bytes = votes.len() / outputs;
        votes.par_chunks_exact_mut(row_bytes).zip(dw.par_chunks_exact(inputs)).enumerate().with_min_len(MIN_ROWS).for_each(
            |(i, (votes, dw))| {
                let codes = &w.codes[i * w.row_bytes..][..w.row_bytes];
                let ratio = (row[i] / mean).max(TINY);
                let row_factor = 1.0 / if cast.is_natural { ratio } else { ratio.sqrt() };
                let scale = |column| w.scaling.scale(i, column).0;
                let at = RowCast { table: &table, row_factor, lr: cast.lr, stream, first_block: ((first_row + i) * blocks) as u32 };
                match bits {
                    VoteBits::Eight => vote_row_of_eight(votes, dw, column_factor, codes, scale, &at),
                    VoteBits::Four => vote_row_of_four(votes, dw, column_factor, codes, scale, &at),
                }
            },
        );
    }
}

/// What the weights of a row share when they vote.
struct RowCast<'a> {
    table: &'a VoteTable,
    row_factor: f32,
    lr: f32,
    stream: RandomStream,
    first_block: u32,
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn vote_row_of_eight(votes: &mut [u8], dw: &[f32], column_factor: &[f32], codes: &[u8], scale: impl Fn(usize) -> f32, at: &RowCast) {
    vote_row(VoteBits::Eight, votes, dw, column_factor, codes, scale, at);
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn vote_row_of_four(votes: &mut [u8], dw: &[f32], column_factor: &[f32], codes: &[u8], scale: impl Fn(usize) -> f32, at: &RowCast) {
    vote_row(VoteBits::Four, votes, dw, column_factor, codes, scale, at);
}

/// `scale` gives that of a block by its first column.
#[inline(always)]
fn vote_row(bits: VoteBits, votes: &mut [u8], dw: &[f32], column_factor: &[f32], codes: &[u8], scale: impl Fn(usize) -> f32, at: &RowCast) {
    let mut random = [[0; BLOCK]; BLOCKS];
    for (block, (dw, factor)) in dw.chunks(BLOCK).zip(column_factor.chunks(BLOCK)).enumerate() {
        if block % BLOCKS == 0 {
            random = at.stream.bytes_of::<BLOCKS>(at.first_block + block as u32);
        }
        let (codes, random) = (load_codes(codes, block), &random[block % BLOCKS]);
        let (old, scale) = (load_votes(bits, votes, block), scale(block * BLOCK));
        let mut new = old;
        if let (Some(dw), Some(factor)) = (dw.first_chunk(), factor.first_chunk()) {
            cast_block(&mut new, dw, factor, &codes, random, scale, at);
        } else {
            // Padding votes on zero gradients, and the outcome is dropped.
            let (mut gradients, mut factors) = ([0.0f32; BLOCK], [0.0f32; BLOCK]);
            gradients[..dw.len()].copy_from_slice(dw);
            factors[..dw.len()].copy_from_slice(factor);
            cast_block(&mut new, &gradients, &factors, &codes, random, scale, at);
            new[dw.len()..].copy_from_slice(&old[dw.len()..]);
        }
        store_votes(bits, votes, block, &new);
    }
}

/// Casts the votes of a block.
#[inline(always)]
fn cast_block(
    votes: &mut [i8; BLOCK],
    dw: &[f32; BLOCK],
    column_factor: &[f32; BLOCK],
    codes: &[u8; BLOCK],
    random: &[u8; BLOCK],
    scale: f32,
    at: &RowCast,
) {
    // Closures over arrays would not be inlined here, nor vectorised.
    for j in 0..BLOCK {
        let wanted = wanted_move(dw[j] * at.row_factor * column_factor[j], scale, at.lr);
        votes[j] = at.table.cast(codes[j], votes[j].into(), wanted, uniform_byte(random[j])) as i8;
    }
}
