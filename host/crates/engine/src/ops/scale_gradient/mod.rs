//! The gradients of scales.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::backend::{ScaleGradients, Weight};
use crate::memory::Span;

/// Of rows `d_scale[i] += Σ_j dw[i][j] · level[code[i][j]]`. Of groups, whose sums are over their own j, the same of numerators into their steps, and
/// `d_offset += Σ_j dw[i][j]`.
#[derive(Clone, Copy, Debug)]
pub struct ScaleGradient {
    /// Added to, in the form of the weight's scales.
    pub d_scales: ScaleGradients,
    /// Gradient of the weight, `[out, in]`.
    pub dw: Span<f32>,
    /// On the grid, `[out, in]`.
    pub weight: Weight,
}
