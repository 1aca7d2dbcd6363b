//! Hyperbolic tangent.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::Span;

/// `y = tanh(x)`, both `[n]`; y may be x itself.
#[derive(Clone, Copy, Debug)]
pub struct Tanh {
    /// Written.
    pub y: Span<f32>,
    /// Read.
    pub x: Span<f32>,
}

/// `dx = dy · (1 − y²)`, all `[n]`; dx may be dy itself.
#[derive(Clone, Copy, Debug)]
pub struct TanhBackward {
    /// Written.
    pub dx: Span<f32>,
    /// Gradient of y.
    pub dy: Span<f32>,
    /// Result of the forward pass.
    pub y: Span<f32>,
}
