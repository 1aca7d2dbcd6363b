//! One token's product in exact integers, each code read once: a step of decoding.

pub mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::backend::Weight;
use crate::memory::Span;

/// `y = x · Wᵀ`, where x is rounded to steps of max|x| / 4095 and the dot products are exact. A float weight goes the way of
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
