//! A bias on each row, and its gradient: sums over rows.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::{Activation, Span};

/// `y[r][j] += bias[j]`.
#[derive(Clone, Copy, Debug)]
pub struct Bias {
    /// Added to, `[rows, dim]`.
    pub y: Activation,
    /// `[dim]`.
    pub bias: Span<f32>,
}

/// The gradient of [`Bias`]: `d_bias[j] += Σ_r dy[r][j]`, in groups of rows, in order.
#[derive(Clone, Copy, Debug)]
pub struct BiasBackward {
    /// Added to, `[dim]`.
    pub d_bias: Span<f32>,
    /// `[rows, dim]`.
    pub dy: Span<f32>,
}
