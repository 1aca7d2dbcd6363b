//! Micro-batch voting with R and C held within the step (`reduce = votes`): what makes the votes of micro-batches a sum of integers, whoever casts them.
//!
//! In the terms of the vote rule, for M micro-batches of a step t, with lr divided by √M as it is wherever votes are cast M times a step:
//! ```text
//! each m    R' = β₂R + (1 − β₂) mean_j G²,  C' = β₂C + (1 − β₂) mean_i G²     from R and C of the step before
//!           n = G / √((R' / mean R') · (C' / bc))                           the gradient of the micro-batch alone
//!           δ_m = ⌊ Q·d/gap/2ᵏ + u ⌋ within ±L                                gap by the sign of the start vote; u by (seed, tensor, t·M + m)
//! the step  v ← clamp(v + 2ᵏ Σ δ_m, −A, A)                                  once; those that the clamp cuts are counted
//!           R ← mean of all R',  C ← mean of all C'                         floats, in the order of the tree
//!           float tensors and scales move, then weights flip
//! ```
//! No micro-batch sees what another one cast, so sums of δ do not depend on their order, and R and C need nothing of the same step from elsewhere. With its
//! own squares in R' and C', the first step needs no statistics of before, and a row that is seen for the first time is not measured by zero.
//!
//! The sums travel as bytes for up to [`MOST_IN_BYTES`] micro-batches: then L = ⌊127/M⌋, and k is the least at which the largest move that the rule
//! makes on a row of mean scale is within ±L, the same for all ranks. Rounding to 2ᵏ votes is as unbiased as rounding to one.

use primal_device::grid::{self, BLOCK, VoteBits};
use primal_device::rules::votes::{GRADIENT_LIMIT, VoteRule};
use rayon::prelude::*;

use super::rule::Turn;
use super::votes::{self, Votes, constants};
use crate::backend::cpu::blocks::{load_votes, store_votes};
use crate::backend::{Backend, Scales, Weight};
use crate::config::TrainConfig;
use crate::memory::{Kind, Plan, Span};
use crate::ops::{Vote, VoteState};
use crate::ranks::{Integers, Ranks};

/// Micro-batches of a step whose sums fit bytes, at most: each still has ±7 to say how far.
pub const MOST_IN_BYTES: u32 = 16;
/// Micro-batches of a step, at most: of two bytes each has ±7.
pub const MOST_MICRO_BATCHES: u32 = 4096;
/// What one vote op can say of a weight whose start vote has but its sign.
const MOST_OF_AN_OP: i32 = 126;
/// The largest k: such a unit is more than half of a consensus.
const LARGEST_SHIFT: u32 = 6;
/// Rows that a task takes at least, and votes.
const CHUNK: usize = 1 << 14;

/// Where a matrix's micro-batch leaves its statistics, and votes of a byte for the op.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// R' of the micro-batch, `[out]`; in the end the sum of all.
    pub row: Span<f32>,
    /// C' of the micro-batch, `[in]`; in the end the sum of all.
    pub column: Span<f32>,
    /// Votes of the micro-batch alone, `[out, padded(in)]`; matrices share it.
    votes: Span<u8>,
}

impl Held {
    /// Reserves it; `votes` are those of the largest matrix.
    pub fn plan(plan: &mut Plan, name: &str, [rows, columns]: [usize; 2], votes: Span<u8>) -> Self {
        let mut span = |part, len| plan.span(Kind::Gradient, format!("{name}.{part}"), len);
        let (row, column) = (span("micro_row", rows), span("micro_column", columns));
        Self { row, column, votes: votes.slice(0, Self::votes_of([rows, columns])) }
    }

    /// Votes of a matrix.
    pub fn votes_of([rows, columns]: [usize; 2]) -> usize {
        rows * grid::padded(columns)
    }
}

/// Bytes of a weight's δ on the wire, and in memory.
pub fn wire_bytes(micro_batches: u32) -> usize {
    if micro_batches <= MOST_IN_BYTES { 1 } else { 2 }
}

/// The largest δ of a micro-batch, L.
fn limit(micro_batches: u32) -> i32 {
    let sum = if micro_batches <= MOST_IN_BYTES { i32::from(i8::MAX) } else { i16::MAX.into() };
    (sum / micro_batches as i32).min(MOST_OF_AN_OP)
}

/// The least k at which the rule's largest move of a weight on that grid and scale is within ±`limit`.
fn shift(rule: &VoteRule, grid: &grid::Grid, scale: f32, lr: f32, limit: i32) -> u32 {
    let gaps = (0..16).filter(|&code| grid.is_level(code)).map(|code| grid.gap(code, true)).filter(|&gap| gap > 0.0);
    let votes = GRADIENT_LIMIT * (lr / scale) * (rule.quantum / gaps.fold(f32::INFINITY, f32::min));
    (0..LARGEST_SHIFT).find(|&shift| votes / (1u32 << shift) as f32 <= limit as f32).unwrap_or(LARGEST_SHIFT)
}

/// The mean magnitude of a weight's scales.
fn mean_scale<B: Backend>(b: &mut B, weight: &Weight) -> f32 {
    let weight = weight.grid();
    let mean = |sum: f64, count: usize| (sum / count as f64) as f32;
    match weight.scales {
        Scales::Row(scale) => {
            let mut values = vec![0.0f32; scale.len()];
            b.download(scale, &mut values);
            mean(values.iter().map(|value| f64::from(value.abs())).sum(), values.len())
        }
        Scales::Group32 { step } | Scales::Group32Offset { step, .. } => {
            let mut steps = vec![half::f16::ZERO; step.len()];
            b.download(step, &mut steps);
            mean(steps.iter().map(|step| f64::from(step.to_f32().abs() * weight.grid.steps())).sum(), steps.len())
        }
    }
}

/// A matrix whose votes are cast.
#[derive(Clone, Copy)]
pub struct Ballot<'a> {
    /// On the grid.
    pub weight: &'a Weight,
    /// Votes of the step's start, R and C of the step before.
    pub state: VoteState,
    /// Where the micro-batch leaves its own.
    pub held: Held,
}

/// The votes of a step on the host: what this rank's micro-batches add up to.
#[derive(Default)]
pub struct Ballots {
    /// By matrix, of the last step or this one.
    sums: Vec<Option<Integers>>,
    /// k of each matrix.
    shifts: Vec<u32>,
    /// Matrices whose sums the ranks are adding up, in order.
    begun: Vec<usize>,
    /// For one matrix at a time: start votes as they are kept, their signs or the votes of an op.
    kept: Vec<u8>,
    signs: Vec<u8>,
    cast: Vec<u8>,
    /// Weights whose votes were cut when they were applied.
    pub cut: u64,
}

impl Ballots {
    /// Casts the votes of a micro-batch on `dw`; those of the rank's `first` one are the first of the step.
    pub fn cast<B: Backend>(&mut self, b: &mut B, Ballot { weight, state, held }: Ballot, dw: Span<f32>, turn: &Turn, first: bool) {
        let (at, rows, config) = (turn.tensor as usize, weight.out_features, turn.config);
        if self.sums.len() <= at {
            self.sums.resize(at + 1, None);
            self.shifts.resize(at + 1, 0);
        }
        let limit = limit(config.grad_accum);
        let mut cast = votes::cast(turn);
        if first {
            self.shifts[at] = shift(&cast.rule, weight.grid().grid, mean_scale(b, weight), cast.lr, limit);
        }
        // The op rounds to votes; a smaller rate makes them votes of 2ᵏ. Of the start vote it needs the sign.
        cast.lr /= (1u32 << self.shifts[at]) as f32;
        cast.rule.max = i8::MAX.into();
        self.kept.resize(state.votes.len(), 0);
        b.download(state.votes, &mut self.kept);
        self.signs.resize(held.votes.len(), 0);
        let kept_row = state.votes.len() / rows;
        let row = held.votes.len() / rows;
        self.signs.par_chunks_exact_mut(row).zip(self.kept.par_chunks_exact(kept_row)).with_min_len(CHUNK / row + 1).for_each(
            |(signs, kept)| {
                for block in 0..signs.len() / BLOCK {
                    store_votes(VoteBits::Eight, signs, block, &load_votes(state.bits, kept, block).map(i8::signum));
                }
            },
        );
        b.upload(held.votes, &self.signs);
        b.copy(held.row, state.row);
        b.copy(held.column, state.column);
        let state = VoteState { votes: held.votes, bits: VoteBits::Eight, row: held.row, column: held.column };
        b.run(Vote { weight: *weight, state, dw, cast });
        self.cast.resize(held.votes.len(), 0);
        b.download(held.votes, &mut self.cast);
        let sums = &mut self.sums[at];
        if first {
            let len = self.cast.len();
            let is_fit = sums.as_ref().is_some_and(|sums| sums.bytes() == len * wire_bytes(config.grad_accum));
            if !is_fit {
                *sums = Some(if wire_bytes(config.grad_accum) == 1 { Integers::I8(vec![0; len]) } else { Integers::I16(vec![0; len]) });
            }
        }
        match sums.as_mut().expect("made by the first micro-batch") {
            Integers::I8(sums) => add_up(sums, &self.cast, &self.signs, limit, first, |sum, delta| sum + delta as i8),
            Integers::I16(sums) => add_up(sums, &self.cast, &self.signs, limit, first, |sum, delta| sum + delta as i16),
        }
    }

    /// Begins to add up a matrix over all ranks, when this one has cast all its votes.
    pub fn send(&mut self, tensor: u32, ranks: &mut dyn Ranks) {
        ranks.begin_sum(self.sums[tensor as usize].take().expect("votes that were cast"));
        self.begun.push(tensor as usize);
    }

    /// Waits for all sums.
    pub fn receive(&mut self, ranks: &mut dyn Ranks) {
        for at in self.begun.drain(..) {
            self.sums[at] = Some(ranks.finish_sum());
        }
        self.cut = 0;
    }

    /// Applies what all micro-batches cast to a matrix, and makes R and C of all their R' and C'.
    pub fn apply<B: Backend>(&mut self, b: &mut B, Votes(state): &Votes, held: Held, turn: &Turn) {
        let at = turn.tensor as usize;
        let (max, shift) = (constants(turn.config).max, self.shifts[at]);
        self.kept.resize(state.votes.len(), 0);
        b.download(state.votes, &mut self.kept);
        self.cut += match self.sums[at].as_ref().expect("sums that were received") {
            Integers::I8(sums) => apply(state.bits, &mut self.kept, sums, shift, max),
            Integers::I16(sums) => apply(state.bits, &mut self.kept, sums, shift, max),
        };
        b.upload(state.votes, &self.kept);
        for (to, from) in [(state.row, held.row), (state.column, held.column)] {
            let mut values = vec![0.0f32; to.len()];
            b.download(from, &mut values);
            values.iter_mut().for_each(|value| *value /= turn.config.grad_accum as f32);
            b.upload(to, &values);
        }
    }
}

/// Adds δ of all votes, which are in blocks of rows.
fn add_up<T: Copy + Default + Send>(sums: &mut [T], cast: &[u8], signs: &[u8], limit: i32, first: bool, plus: impl Fn(T, i32) -> T + Sync) {
    sums.par_chunks_mut(CHUNK).zip(cast.par_chunks(CHUNK)).zip(signs.par_chunks(CHUNK)).for_each(|((sums, cast), signs)| {
        for ((sum, &cast), &sign) in sums.iter_mut().zip(cast).zip(signs) {
            let delta = (i32::from(cast as i8) - i32::from(sign as i8)).clamp(-limit, limit);
            *sum = plus(if first { T::default() } else { *sum }, delta);
        }
    });
}

/// Adds sums in units of 2ᵏ to votes, within ±`max`; how many were cut.
fn apply<T: Copy + Into<i32> + Sync>(bits: VoteBits, votes: &mut [u8], sums: &[T], shift: u32, max: i32) -> u64 {
    let bytes = if bits == VoteBits::Eight { BLOCK } else { BLOCK / 2 };
    let blocks = CHUNK / BLOCK;
    let chunks = votes.par_chunks_mut(blocks * bytes).zip(sums.par_chunks(blocks * BLOCK));
    let cut = chunks.map(|(votes, sums)| {
        let mut cut = 0;
        for (block, sums) in sums.chunks_exact(BLOCK).enumerate() {
            let mut after = load_votes(bits, votes, block);
            for (vote, &sum) in after.iter_mut().zip(sums) {
                let wanted = i32::from(*vote) + (sum.into() << shift);
                let within = wanted.clamp(-max, max);
                cut += u64::from(within != wanted);
                *vote = within as i8;
            }
            store_votes(bits, votes, block, &after);
        }
        cut
    });
    cut.sum()
}

/// Bytes of integers and of what is worked on, on the host.
pub fn host_bytes(matrices: impl Iterator<Item = [usize; 2]>, config: &TrainConfig) -> usize {
    let votes: Vec<usize> = matrices.map(Held::votes_of).collect();
    wire_bytes(config.grad_accum) * votes.iter().sum::<usize>() + 3 * votes.iter().copied().max().unwrap_or(0)
}
