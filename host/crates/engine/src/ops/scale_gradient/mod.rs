//! The gradient of row scales.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::backend::Weight;
use crate::memory::Span;

/// `d_scale[i] += Σ_j dw[i][j] · level[code[i][j]]`.
#[derive(Clone, Copy, Debug)]
pub struct ScaleGradient {
    /// Added to, `[out]`.
    pub d_scale: Span<f32>,
    /// Gradient of the weight, `[out, in]`.
    pub dw: Span<f32>,
    /// On the grid, `[out, in]`.
    pub weight: Weight,
}
