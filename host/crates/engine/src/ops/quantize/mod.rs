//! Shadow weights and their grid: the nearest codes, and the straight-through estimator.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::backend::Weight;
use crate::memory::Span;

/// Shadow weights to the nearest codes.
#[derive(Clone, Copy, Debug)]
pub struct Quantize {
    /// On the grid, `[out, in]`; codes are written.
    pub weight: Weight,
    /// `[out, in]`.
    pub shadow: Span<f32>,
    /// Written: `[flipped, at a rail]`.
    pub counts: Span<u32>,
}

/// Straight-through estimator with a learned step (LSQ, Esser et al. 2020): gradients pass inside the rails, `∂w/∂s` is `level − w/s` there and
/// the level at a rail.
#[derive(Clone, Copy, Debug)]
pub struct StraightThrough {
    /// Added to, `[out, in]`; not `dw` itself.
    pub d_shadow: Span<f32>,
    /// Added to, `[out]`; `None` where scales are not trained.
    pub d_scale: Option<Span<f32>>,
    /// Gradient of the weight, `[out, in]`.
    pub dw: Span<f32>,
    /// `[out, in]`.
    pub shadow: Span<f32>,
    /// On the grid; read.
    pub weight: Weight,
}
