//! One token's product, each code read once: a step of decoding. In exact integers, but for grids without a denominator.

mod blocks;
pub mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod floats;
mod groups;

use crate::backend::Weight;
use crate::memory::Span;

/// `y = x · Wᵀ`, where x is rounded to steps of max|x| / 4095 and the dot products are exact, those of each group where groups have scales; on a grid without a denominator levels are looked up as
/// floats, and sums are those of `f32`. A float weight goes the way of
/// [`Linear`](crate::ops::linear::Linear).
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
