//! The gated activation of Llama-like models (Shazeer 2020).

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::Span;

/// `y = silu(gate) · up` with `silu(x) = x·σ(x)`, all `[n]`; y may be gate itself.
#[derive(Clone, Copy, Debug)]
pub struct Swiglu {
    /// Written.
    pub y: Span<f32>,
    /// Opens and closes.
    pub gate: Span<f32>,
    /// What passes.
    pub up: Span<f32>,
}

/// The gradients of [`Swiglu`], all `[n]`.
#[derive(Clone, Copy, Debug)]
pub struct SwigluBackward {
    /// Written.
    pub d_gate: Span<f32>,
    /// Written.
    pub d_up: Span<f32>,
    /// Gradient of y.
    pub dy: Span<f32>,
    /// What the forward pass read.
    pub gate: Span<f32>,
    /// What the forward pass read.
    pub up: Span<f32>,
}
