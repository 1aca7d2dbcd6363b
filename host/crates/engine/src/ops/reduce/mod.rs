//! Sums in a fixed order: sixteen running sums over the elements of a chunk, chunks in order.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::{Activation, Span};

/// `sum[0] = Σ x`.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    /// Written, `[1]`.
    pub sum: Span<f32>,
    /// `[n]`.
    pub x: Activation,
}

/// `sum[0] += Σ x²`.
#[derive(Clone, Copy, Debug)]
pub struct SumSquares {
    /// Added to, `[1]`.
    pub sum: Span<f32>,
    /// `[n]`.
    pub x: Span<f32>,
}
