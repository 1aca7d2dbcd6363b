//! Micro-batch voting with R and C held within the step (`reduce = votes`): what makes the votes of micro-batches a sum of integers, whoever casts them.
//!
//! In the terms of the vote rule, for M micro-batches of a step t, with R and C the running mean squares of the mean of their gradients, and
//! β' = 1 − (1 − β₂)/M:
//! ```text
//! each m    R' = β'R + (1 − β') mean_j G²,  C' = β'C + (1 − β') mean_i G²      from R and C of the step before
//!           n = G / √((R' / mean R') · M · (C' / bc))                         the gradient of the micro-batch alone
//!           δ_m = ⌊ Q·d/gap/2ᵏ + u ⌋ within ±L                                d by lr/√M; gap by the sign of the start vote; u by (seed, tensor, t·M + m)
//! the step  ρ_i² = Σ_j (Σ_m δ_m)² / Σ_j Σ_m δ_m²,  ρ_j² likewise              1 where micro-batches disagree at random, M where they agree
//!           R ← β₂R + ρ_i² (mean_m R' − β'R),  C ← β₂C + ρ_j² (mean_m C' − β'C)   floats, in the order of the tree
//!           f_i = √((mean_m R' / mean mean_m R') / (R / mean R)),  h_j = √(mean_m C' / C)
//!           v ← clamp(⌊v + 2ᵏ f_i h_j Σ δ_m + u⌋, −A, A)                       once; those that the clamp cuts are counted
//!           float tensors and scales move, then weights flip
//! ```
//! No micro-batch sees what another one cast, so sums of δ do not depend on their order, and R and C need nothing of the same step from elsewhere.
//!
//! So votes move as they do where gradients are added up, but for rounding, though the gradient of all micro-batches is nowhere. Its squares are known all the
//! same: the mean of M gradients has ρ²/M of their mean square, and the votes, whose sums all have, tell ρ for each row and column. With them R and C are
//! what they are where gradients are added up, and f and h put right what the votes were measured by before. (Were each micro-batch's gradient measured by its
//! own size alone, as it is when micro-batches vote in order, those that agree would take a step √M times too long; and were votes not put right, a gradient
//! that suddenly grows would take a long step before R and C know of it, from which a model does not soon recover.) The micro-batch's own squares are in R' and
//! C' so that the first step needs no statistics of before, and a row that is seen for the first time is not measured by zero; one that a single micro-batch
//! sees for the first time moves by up to √M less than it would. f and h are those of roots; for mean squares they are as the vote op divides.
//!
//! The sums travel as bytes for up to [`MOST_IN_BYTES`] micro-batches: then L = ⌊127/M⌋, and k is the least at which the largest move that the rule
//! makes on a row of mean scale is within ±L, the same for all ranks; it may be negative, so that small moves still tell ρ. What is applied is rounded at
//! random to whole votes, once.

use primal_device::grid::{self, BLOCK, VoteBits};
use primal_device::kernels::vote::TINY;
use primal_device::philox::{RandomStream, uniform_byte};
use primal_device::rules::votes::{GRADIENT_LIMIT, VoteRule};
use rayon::prelude::*;

use super::rule::Turn;
use super::votes::{self, Votes, constants};
use crate::backend::cpu::blocks::{load_votes, store_votes};
use crate::backend::{Backend, Scales, Weight};
use crate::config::{Divisor, TrainConfig};
use crate::memory::{Kind, Plan, Span};
use crate::ops::{Vote, VoteState};
use crate::ranks::{Integers, Ranks};

/// Micro-batches of a step whose sums fit bytes, at most: each still has ±7 to say how far.
pub const MOST_IN_BYTES: u32 = 16;
/// Micro-batches of a step, at most: of two bytes each has ±7.
pub const MOST_MICRO_BATCHES: u32 = 4096;
/// Of 1 − β₂ so many shares, at most, can be told apart from 1 by floats.
pub const SHARES_TOLD: f32 = 1_048_576.0;
/// What one vote op can say of a weight whose start vote has but its sign.
const MOST_OF_AN_OP: i32 = 126;
/// k at least, and at most, where a unit is more than half of a consensus.
const SHIFTS: [i32; 2] = [-16, 6];
/// Rows that a task takes at least, and votes.
const CHUNK: usize = 1 << 14;

/// Where a matrix's micro-batch leaves its statistics, and votes of a byte for the op.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// R' of the micro-batch, `[out]`; in the end the sum of all.
    pub row: Span<f32>,
    /// C' of the micro-batch, `[in]`; in the end the sum of all.
    pub column: Span<f32>,
    /// Σ_j δ² of the micro-batch, `[out]`; in the end the sum of all.
    pub row_moves: Span<f32>,
    /// Σ_i δ² of the micro-batch, `[in]`; in the end the sum of all.
    pub column_moves: Span<f32>,
    /// Votes of the micro-batch alone, `[out, padded(in)]`; matrices share it.
    votes: Span<u8>,
}

impl Held {
    /// Reserves it; `votes` are those of the largest matrix.
    pub fn plan(plan: &mut Plan, name: &str, [rows, columns]: [usize; 2], votes: Span<u8>) -> Self {
        let mut span = |part, len| plan.span(Kind::Gradient, format!("{name}.{part}"), len);
        Self {
            row: span("micro_row", rows),
            column: span("micro_column", columns),
            row_moves: span("micro_row_moves", rows),
            column_moves: span("micro_column_moves", columns),
            votes: votes.slice(0, Self::votes_of([rows, columns])),
        }
    }

    /// What micro-batches add up as floats.
    pub fn floats(&self) -> [Span<f32>; 4] {
        [self.row, self.column, self.row_moves, self.column_moves]
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
fn shift(rule: &VoteRule, grid: &grid::Grid, scale: f32, lr: f32, limit: i32) -> i32 {
    let gaps = (0..16).filter(|&code| grid.is_level(code)).map(|code| grid.gap(code, true)).filter(|&gap| gap > 0.0);
    let votes = GRADIENT_LIMIT * (lr / scale) * (rule.quantum / gaps.fold(f32::INFINITY, f32::min));
    let [least, most] = SHIFTS;
    (least..most).find(|&shift| votes / unit(shift) <= limit as f32).unwrap_or(most)
}

/// Votes of a unit, 2ᵏ.
fn unit(shift: i32) -> f32 {
    2.0f32.powi(shift)
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
    shifts: Vec<i32>,
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
        cast.lr /= unit(self.shifts[at]);
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
        b.run(Vote { weight: *weight, state, dw, cast, tile: None });
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
        self.cast.par_chunks_mut(CHUNK).zip(self.signs.par_chunks(CHUNK)).for_each(|(cast, signs)| {
            for (cast, &sign) in cast.iter_mut().zip(signs) {
                *cast = (i32::from(*cast as i8) - i32::from(sign as i8)).clamp(-limit, limit) as u8;
            }
        });
        let deltas: &[i8] = bytemuck::cast_slice(&self.cast);
        match sums.as_mut().expect("made by the first micro-batch") {
            Integers::I8(sums) => add_up(sums, deltas, first, |sum, delta| sum + delta),
            Integers::I16(sums) => add_up(sums, deltas, first, |sum, delta| sum + i16::from(delta)),
        }
        let [rows, columns] = squares(deltas, [rows, weight.in_features]);
        b.upload(held.row_moves, &rows);
        b.upload(held.column_moves, &columns);
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

    /// Applies what all micro-batches cast to a matrix, and brings R and C up to date.
    pub fn apply<B: Backend>(&mut self, b: &mut B, Votes(state): &Votes, held: Held, turn: &Turn) {
        let at = turn.tensor as usize;
        self.kept.resize(state.votes.len(), 0);
        b.download(state.votes, &mut self.kept);
        let sums = self.sums[at].as_ref().expect("sums that were received");
        let shape = [state.row.len(), state.column.len()];
        let [of_rows, of_columns] = match sums {
            Integers::I8(sums) => squares(sums, shape),
            Integers::I16(sums) => squares(sums, shape),
        };
        let mut values = |span: Span<f32>| {
            let mut values = vec![0.0f32; span.len()];
            b.download(span, &mut values);
            values
        };
        let mut rows = Squares::of(values(state.row), values(held.row), &values(held.row_moves), &of_rows, turn);
        let columns = Squares::of(values(state.column), values(held.column), &values(held.column_moves), &of_columns, turn);
        if turn.config.grad_accum > 1 {
            // The mean of R is that of C, too; what votes tell of rows and of columns is not as exact.
            let factor = Squares::mean(&columns.together) / Squares::mean(&rows.together);
            rows.together.iter_mut().for_each(|row| *row *= factor);
        }
        let [row_factors, column_factors] = factors(&rows, &columns, turn.config.divisor == Divisor::MeanSquare);
        b.upload(state.row, &rows.together);
        b.upload(state.column, &columns.together);
        let moves = Moves {
            unit: unit(self.shifts[at]),
            most: unit(self.shifts[at]) * limit(turn.config.grad_accum) as f32 * (turn.config.grad_accum as f32).sqrt(),
            row_factors,
            column_factors,
            max: constants(turn.config).max,
            stream: RandomStream::new(turn.config.seed, turn.tensor, APPLIED + turn.step),
        };
        self.cut += match sums {
            Integers::I8(sums) => moves.apply(state.bits, &mut self.kept, sums),
            Integers::I16(sums) => moves.apply(state.bits, &mut self.kept, sums),
        };
        b.upload(state.votes, &self.kept);
    }
}

/// Mean squares by row or by column.
struct Squares {
    /// R' or C', mean of all micro-batches: what they were measured by.
    of_each: Vec<f32>,
    /// R or C after the step.
    together: Vec<f32>,
}

impl Squares {
    /// Of those of the step before, the sums of R' or C', those of δ², and the squares of the sums of δ.
    fn of(before: Vec<f32>, mut of_each: Vec<f32>, moves: &[f32], of_sums: &[f32], turn: &Turn) -> Self {
        let (beta2, held) = (f64::from(turn.config.beta2), f64::from(votes::held_beta2(turn.config)));
        let n = turn.config.grad_accum as f32;
        let mut together = before;
        for (((now, of_each), moves), of_sums) in together.iter_mut().zip(&mut of_each).zip(moves).zip(of_sums) {
            *of_each /= n;
            let agreement = if *moves > 0.0 { f64::from(*of_sums) / f64::from(*moves) } else { 1.0 };
            // Grouped so that a single micro-batch, of which both β are the same, leaves its own.
            let updated = agreement * f64::from(*of_each) + (beta2 - agreement * held) * f64::from(*now);
            // What is not a number is to be noticed.
            *now = if updated < 0.0 { 0.0 } else { updated as f32 };
        }
        Self { of_each, together }
    }

    fn mean(values: &[f32]) -> f32 {
        (values.iter().sum::<f32>() / values.len() as f32).max(TINY)
    }
}

/// What makes sums of votes that were measured by R' and C' those that R and C would have measured, by row and by column.
fn factors(rows: &Squares, columns: &Squares, is_natural: bool) -> [Vec<f32>; 2] {
    let means = [&rows.of_each, &rows.together].map(|values| Squares::mean(values));
    let ratio = |of_each: f32, together: f32| (of_each / means[0]).max(TINY) / (together / means[1]).max(TINY);
    let of_row = |(&of_each, &together): (&f32, &f32)| {
        let ratio = ratio(of_each, together);
        if is_natural { ratio } else { ratio.sqrt() }
    };
    let of_column = |(&of_each, &together): (&f32, &f32)| {
        let root = (of_each.max(TINY) / together.max(TINY)).sqrt();
        if is_natural { root * ratio(of_each, together).sqrt() } else { root }
    };
    let each = |squares: &Squares, of: &dyn Fn((&f32, &f32)) -> f32| squares.of_each.iter().zip(&squares.together).map(of).collect();
    [each(rows, &of_row), each(columns, &of_column)]
}

/// The first step of the random numbers by which sums are rounded to votes.
const APPLIED: u64 = 1 << 63;

/// How sums become votes.
struct Moves {
    /// Votes of a unit, 2ᵏ.
    unit: f32,
    /// Votes of a move, at most: about those of the largest one that the rule makes at once.
    most: f32,
    row_factors: Vec<f32>,
    column_factors: Vec<f32>,
    /// The largest vote.
    max: i32,
    stream: RandomStream,
}

impl Moves {
    /// Adds sums to votes, rounded at random without bias, within the largest vote; how many were cut.
    fn apply<T: Copy + Into<i32> + Sync>(&self, bits: VoteBits, votes: &mut [u8], sums: &[T]) -> u64 {
        let rows = self.row_factors.len();
        let (row_votes, row_sums) = (votes.len() / rows, sums.len() / rows);
        let blocks = row_sums / BLOCK;
        let of_rows = votes.par_chunks_exact_mut(row_votes).zip(sums.par_chunks_exact(row_sums)).enumerate();
        let cut = of_rows.with_min_len(CHUNK / row_sums + 1).map(|(row, (votes, sums))| {
            let unit = self.unit * self.row_factors[row];
            let of_blocks = sums.chunks_exact(BLOCK).zip(self.column_factors.chunks(BLOCK)).enumerate();
            let cut = of_blocks.map(|(block, (sums, factors))| {
                let mut after = load_votes(bits, votes, block);
                let random = self.stream.bytes((row * blocks + block) as u32);
                let mut cut = 0;
                for (((vote, &sum), &factor), random) in after.iter_mut().zip(sums).zip(factors).zip(random) {
                    // Factors of what was zero before are as good as infinite, and no move of no votes is one.
                    let sum: i32 = sum.into();
                    let moved = if sum == 0 { 0.0 } else { (sum as f32 * (unit * factor)).clamp(-self.most, self.most) };
                    let wanted = (f32::from(*vote) + moved + uniform_byte(random)).floor();
                    let within = wanted.clamp(-self.max as f32, self.max as f32);
                    cut += u64::from(within != wanted);
                    *vote = within as i8;
                }
                store_votes(bits, votes, block, &after);
                cut
            });
            cut.sum::<u64>()
        });
        cut.sum()
    }
}

/// Adds δ of all votes, which are in blocks of rows.
fn add_up<T: Copy + Default + Send>(sums: &mut [T], deltas: &[i8], first: bool, plus: impl Fn(T, i8) -> T + Sync) {
    sums.par_chunks_mut(CHUNK).zip(deltas.par_chunks(CHUNK)).for_each(|(sums, deltas)| {
        for (sum, &delta) in sums.iter_mut().zip(deltas) {
            *sum = plus(if first { T::default() } else { *sum }, delta);
        }
    });
}

/// The sums of squares of votes by row and by column, whose padding is zero. As integers they are exact, whoever adds them up in whatever order.
fn squares<T: Copy + Into<i32> + Sync>(values: &[T], [rows, columns]: [usize; 2]) -> [Vec<f32>; 2] {
    let square = |value: T| {
        let value: i32 = value.into();
        u64::from(value.unsigned_abs()).pow(2)
    };
    let in_order = values.par_chunks_exact(values.len() / rows).with_min_len((CHUNK * rows).div_ceil(values.len()));
    let of_rows = in_order.clone().map(|row| row.iter().map(|&value| square(value)).sum::<u64>() as f32).collect();
    let empty = || vec![0u64; columns];
    let of_columns = in_order.fold(empty, |mut sums, row| {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += square(value));
        sums
    });
    let of_columns = of_columns.reduce(empty, |mut sums, more| {
        sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        sums
    });
    [of_rows, of_columns.into_iter().map(|sum| sum as f32).collect()]
}

/// Bytes of integers and of what is worked on, on the host.
pub fn host_bytes(matrices: impl Iterator<Item = [usize; 2]>, config: &TrainConfig) -> usize {
    let votes: Vec<usize> = matrices.map(Held::votes_of).collect();
    wire_bytes(config.grad_accum) * votes.iter().sum::<usize>() + 3 * votes.iter().copied().max().unwrap_or(0)
}
