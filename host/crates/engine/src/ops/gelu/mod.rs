//! GELU in its tanh form (Hendrycks & Gimpel 2016), as GPT-2 has it.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::{Activation, Span};

/// `y = ½x(1 + tanh(√(2/π)(x + 0.044715x³)))`, both `[n]`.
#[derive(Clone, Copy, Debug)]
pub struct Gelu {
    /// Written.
    pub y: Activation,
    /// Read.
    pub x: Activation,
}

/// `dx = dy · gelu′(x)`, all `[n]`; dx may be dy itself.
#[derive(Clone, Copy, Debug)]
pub struct GeluBackward {
    /// Written.
    pub dx: Span<f32>,
    /// Gradient of y.
    pub dy: Span<f32>,
    /// What the forward pass read.
    pub x: Activation,
}
