//! The gradient of a bias: sums over rows.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::Span;

/// `d_bias[j] += Σ_r dy[r][j]`, in groups of rows, in order.
#[derive(Clone, Copy, Debug)]
pub struct BiasBackward {
    /// Added to, `[dim]`.
    pub d_bias: Span<f32>,
    /// `[rows, dim]`.
    pub dy: Span<f32>,
}
