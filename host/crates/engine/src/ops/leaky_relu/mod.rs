//! Leaky rectified linear units (Maas et al. 2013); slope 0 is ReLU.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::Span;

/// `y = x` where x is positive, else `slope · x`; both `[n]`, and y may be x itself.
#[derive(Clone, Copy, Debug)]
pub struct LeakyRelu {
    /// Written.
    pub y: Span<f32>,
    /// Read.
    pub x: Span<f32>,
    /// Left of zero.
    pub slope: f32,
}

/// `dx = dy` where x is positive, else `slope · dy`; all `[n]`, and dx may be dy itself.
#[derive(Clone, Copy, Debug)]
pub struct LeakyReluBackward {
    /// Written.
    pub dx: Span<f32>,
    /// Gradient of y.
    pub dy: Span<f32>,
    /// What the forward pass read, or its result if the slope is not negative.
    pub x: Span<f32>,
    /// Left of zero.
    pub slope: f32,
}
