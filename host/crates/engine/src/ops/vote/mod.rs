//! Votes of grid weights: gradients, scaled by factored running means of their squares (Shazeer & Stern 2018), added up as small integers.

pub(super) mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;

use crate::backend::Weight;
use crate::memory::Span;
use primal_device::grid::{self, VoteBits};
use primal_device::philox::RandomStream;
use primal_device::rules::votes::VoteRule;

/// The key of a tensor's random numbers in one step (Philox; the weight's index is the counter).
#[derive(Clone, Copy, Debug)]
pub struct RandomKey {
    /// The run's seed.
    pub seed: u64,
    /// The tensor's number in the model.
    pub tensor: u32,
    /// The step, or the number of the micro-batch since the start.
    pub step: u64,
}

/// What the vote rule keeps of a weight between steps.
#[derive(Clone, Copy, Debug)]
pub struct VoteState {
    /// Votes, `[out, padded(in)]`: one `i8` a weight, or two packed 4-bit votes (excess 8) a byte.
    pub votes: Span<u8>,
    /// 8 or 4 bits a vote.
    pub bits: VoteBits,
    /// Running mean square of each row of the gradient (R), `[out]`.
    pub row: Span<f32>,
    /// Running mean square of each column of the gradient (C), `[in]`.
    pub column: Span<f32>,
}

/// One casting of votes.
#[derive(Clone, Copy, Debug)]
pub struct VoteCast {
    /// The rule's constants.
    pub rule: VoteRule,
    /// Learning rate of this casting, in units of weight.
    pub lr: f32,
    /// Decay of R and C.
    pub beta2: f32,
    /// `1 − β₂^t`: corrects C for its start at zero.
    pub bias_correction: f32,
    /// Whether gradients are divided by R and C themselves and not by their roots.
    pub is_natural: bool,
    /// Random numbers.
    pub key: RandomKey,
}

/// What rows need that vote before the gradient of the others is known. Tiles of a matrix vote in order, from its first row to its last.
#[derive(Clone, Copy, Debug)]
pub struct Tile {
    /// Their first, in the whole matrix.
    pub first: usize,
    /// Rows of the whole matrix.
    pub outputs: usize,
    /// Where the squares of each column are added up over the tiles, `[in]`.
    pub sums: Span<f32>,
}

/// Updates R and C with `dw` and adds each weight's vote.
///
/// Where the rows are a tile of a matrix, their votes are divided by `β₂·C + (1 − β₂)·(mean square of the tile's columns)` in place of C, and its mean is in
/// that of R's. C itself is updated by the last tile, with the squares of all.
#[derive(Clone, Copy, Debug)]
pub struct Vote {
    /// On the grid, `[out, in]`; read.
    pub weight: Weight,
    /// Updated.
    pub state: VoteState,
    /// Gradient of the weight, `[out, in]`.
    pub dw: Span<f32>,
    /// Constants and random numbers.
    pub cast: VoteCast,
    /// Where weight, votes, R and dw are some rows of a matrix, and C is that of all.
    pub tile: Option<Tile>,
}

impl RandomKey {
    /// The random numbers.
    pub(super) fn stream(&self) -> RandomStream {
        RandomStream::new(self.seed, self.tensor, self.step)
    }
}

impl VoteState {
    /// That of some rows.
    pub fn rows(&self, first: usize, count: usize) -> Self {
        let bytes = Self::row_bytes(self.bits, self.column.len());
        Self { votes: self.votes.slice(first * bytes, count * bytes), row: self.row.slice(first, count), ..*self }
    }

    /// Bytes of the votes of one row.
    pub fn row_bytes(bits: VoteBits, in_features: usize) -> usize {
        match bits {
            VoteBits::Eight => grid::padded(in_features),
            VoteBits::Four => grid::padded(in_features) / 2,
        }
    }
}
