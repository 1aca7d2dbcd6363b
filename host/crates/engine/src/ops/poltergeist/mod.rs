//! PRIMAL's first rule: votes of outlying gradients, and flips at random where they agree. Votes are 8-bit.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::backend::Weight;
use crate::memory::Span;
use crate::ops::vote::RandomKey;

/// ±1 where |dw| > mean + z·std of |dw| over the tensor.
#[derive(Clone, Copy, Debug)]
pub struct PoltergeistVote {
    /// On the grid; read.
    pub weight: Weight,
    /// Updated, `[out, padded(in)]`.
    pub votes: Span<u8>,
    /// Gradient of the weight, `[out, in]`.
    pub dw: Span<f32>,
    /// Standard deviations above the mean.
    pub z: f32,
}

/// Flips where |votes| ≥ consensus, with the row's probability; clears the votes.
#[derive(Clone, Copy, Debug)]
pub struct PoltergeistFlip {
    /// On the grid; codes are updated.
    pub weight: Weight,
    /// Read and cleared, `[out, padded(in)]`.
    pub votes: Span<u8>,
    /// Votes that a flip needs.
    pub consensus: u32,
    /// Random numbers.
    pub key: RandomKey,
    /// Written: `[flipped, at a rail]`.
    pub counts: Span<u32>,
}
