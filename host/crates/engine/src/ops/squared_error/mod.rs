//! Squared error against targets, loss and gradient in one pass over each row.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::Span;

/// `losses[r] = Σ_j (x[r][j] − target[r][j])²` and `dx = 2(x − target) · gradient_scale`.
#[derive(Clone, Copy, Debug)]
pub struct SquaredError {
    /// Written, `[rows]`.
    pub losses: Span<f32>,
    /// Written, `[rows, dim]`.
    pub dx: Span<f32>,
    /// Predictions, `[rows, dim]`.
    pub x: Span<f32>,
    /// What they should be, `[rows, dim]`.
    pub target: Span<f32>,
    /// What a loss counts in the gradient.
    pub gradient_scale: f32,
}
