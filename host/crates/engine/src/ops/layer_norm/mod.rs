//! Layer normalisation over rows (Ba et al. 2016), ε = 1e-5.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::{Activation, Span};

/// `y = (x − mean) · rstd · gamma + beta`, with each row's mean and `rstd = 1/√(variance + ε)`.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    /// Written, `[rows, dim]`.
    pub y: Activation,
    /// Written for the backward pass, `[rows]`.
    pub mean: Span<f32>,
    /// Written for the backward pass, `[rows]`.
    pub rstd: Span<f32>,
    /// `[rows, dim]`.
    pub x: Activation,
    /// Gain, `[dim]`.
    pub gamma: Span<f32>,
    /// Offset, `[dim]`.
    pub beta: Span<f32>,
    /// Values of a row.
    pub dim: usize,
}

/// Adds the gradients of [`LayerNorm`].
#[derive(Clone, Copy, Debug)]
pub struct LayerNormBackward {
    /// Added to, `[rows, dim]`.
    pub dx: Span<f32>,
    /// Added to, `[dim]`.
    pub d_gamma: Span<f32>,
    /// Added to, `[dim]`.
    pub d_beta: Span<f32>,
    /// Gradient of y, `[rows, dim]`.
    pub dy: Span<f32>,
    /// `[rows, dim]`.
    pub x: Activation,
    /// What the forward pass kept, `[rows]`.
    pub mean: Span<f32>,
    /// What the forward pass kept, `[rows]`.
    pub rstd: Span<f32>,
    /// Gain, `[dim]`.
    pub gamma: Span<f32>,
    /// Values of a row.
    pub dim: usize,
}
