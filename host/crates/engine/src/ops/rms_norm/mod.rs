//! Root mean square normalisation over rows (Zhang & Sennrich 2019): the norm of Llama-like models.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::Span;

/// `y = x · rstd · gamma`, with each row's `rstd = 1/√(mean x² + ε)`.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    /// Written, `[rows, dim]`.
    pub y: Span<f32>,
    /// Written for the backward pass, `[rows]`.
    pub rstd: Span<f32>,
    /// `[rows, dim]`.
    pub x: Span<f32>,
    /// Gain, `[dim]`.
    pub gamma: Span<f32>,
    /// Added to the mean square: ε.
    pub eps: f32,
    /// Values of a row.
    pub dim: usize,
}

/// Adds the gradients of [`RmsNorm`].
#[derive(Clone, Copy, Debug)]
pub struct RmsNormBackward {
    /// Added to, `[rows, dim]`.
    pub dx: Span<f32>,
    /// Added to, `[dim]`.
    pub d_gamma: Span<f32>,
    /// Gradient of y, `[rows, dim]`.
    pub dy: Span<f32>,
    /// `[rows, dim]`.
    pub x: Span<f32>,
    /// What the forward pass kept, `[rows]`.
    pub rstd: Span<f32>,
    /// Gain, `[dim]`.
    pub gamma: Span<f32>,
    /// Values of a row.
    pub dim: usize,
}
