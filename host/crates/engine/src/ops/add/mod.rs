//! Sums of activations.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::Span;

/// `y = a + b`, all `[n]`; y may be a itself.
#[derive(Clone, Copy, Debug)]
pub struct Add {
    /// Written.
    pub y: Span<f32>,
    /// First term.
    pub a: Span<f32>,
    /// Second term.
    pub b: Span<f32>,
}
