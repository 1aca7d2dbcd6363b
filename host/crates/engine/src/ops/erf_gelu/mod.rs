//! GELU in its exact form (Hendrycks & Gimpel 2016), as PyTorch has it where nothing else is said. Forward only: vocoders are run here, not trained.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::Span;

/// `y = ½x(1 + erf(x/√2))`, both `[n]`; y may be x itself. Absolute error 1e-6 and relative 4e-6 at most.
#[derive(Clone, Copy, Debug)]
pub struct ErfGelu {
    /// Written.
    pub y: Span<f32>,
    /// Read.
    pub x: Span<f32>,
}
