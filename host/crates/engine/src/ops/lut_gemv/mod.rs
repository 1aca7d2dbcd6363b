//! One token's product, each code read once: a step of decoding. In integers, but for grids without a denominator.

#[cfg(target_arch = "x86_64")]
mod ahead;
mod blocks;
pub mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod floats;
mod groups;
mod q8_0;

use crate::backend::Weight;
use crate::memory::Span;

/// `y = x · Wᵀ` in integers.
///
/// - Where rows have scales, x is rounded to steps of max|x| / 4095, and the dot products are exact.
/// - Where groups of 32 have, and of a weight in blocks of Q8_0, x is rounded by the same groups as in [`LutGemm`](crate::ops::LutGemm), and the
///   products of a group are exact. (On CUDA x is rounded as above, and blocks go the way of [`Linear`](crate::ops::Linear).)
/// - On a grid without a denominator, and of other blocks, weights are brought to floats, and sums are those of `f32`.
/// - A float weight goes the way of [`Linear`](crate::ops::Linear).
#[derive(Clone, Copy, Debug)]
pub struct LutGemv {
    /// Written, `[out]`.
    pub y: Span<f32>,
    /// `[in]`.
    pub x: Span<f32>,
    /// `[out, in]`.
    pub weight: Weight,
}

impl LutGemv {
    pub(super) fn flops(&self) -> usize {
        self.weight.flops(1)
    }
}
