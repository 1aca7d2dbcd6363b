//! The three products of a linear layer, over grid or float weights. Rows of y and of its gradient may be padded.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::backend::Weight;
use crate::memory::{Activation, Span};

/// `y = x · Wᵀ`.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// `[rows, stride]`, of which the first `out` columns are written.
    pub y: Activation,
    /// `[rows, in]`.
    pub x: Activation,
    /// `[out, in]`.
    pub weight: Weight,
    /// Rows.
    pub rows: usize,
}

/// `dx = dy · W`, or `dx += dy · W`.
#[derive(Clone, Copy, Debug)]
pub struct LinearBackwardInput {
    /// Written, `[rows, in]`.
    pub dx: Span<f32>,
    /// Gradient of y, `[rows, stride]`.
    pub dy: Span<f32>,
    /// `[out, in]`.
    pub weight: Weight,
    /// Rows.
    pub rows: usize,
    /// Whether to add to dx.
    pub accumulate: bool,
}

/// `dw = dyᵀ · x`, or `dw += dyᵀ · x`.
#[derive(Clone, Copy, Debug)]
pub struct LinearBackwardWeight {
    /// Written, `[out, in]`.
    pub dw: Span<f32>,
    /// Gradient of y, `[rows, stride]`.
    pub dy: Span<f32>,
    /// `[rows, in]`.
    pub x: Activation,
    /// Rows.
    pub rows: usize,
    /// Whether to add to dw.
    pub accumulate: bool,
}
