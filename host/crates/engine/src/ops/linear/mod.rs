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

/// `dw = dyᵀ · x`, or `dw += dyᵀ · x`: all rows of it, or some.
#[derive(Clone, Copy, Debug)]
pub struct LinearBackwardWeight {
    /// Written, `[some of out, in]`.
    pub dw: Span<f32>,
    /// The row of the whole gradient that dw begins with.
    pub first: usize,
    /// Gradient of y, `[rows, stride]`, of which the first `out` columns are read.
    pub dy: Span<f32>,
    /// Outputs of the layer.
    pub outputs: usize,
    /// `[rows, in]`.
    pub x: Activation,
    /// Rows.
    pub rows: usize,
    /// Whether to add to dw.
    pub accumulate: bool,
}

impl Linear {
    pub(super) fn flops(&self) -> usize {
        self.weight.flops(self.rows)
    }
}

impl LinearBackwardInput {
    pub(super) fn flops(&self) -> usize {
        self.weight.flops(self.rows)
    }
}

impl LinearBackwardWeight {
    pub(super) fn flops(&self) -> usize {
        2 * self.rows * self.dw.len()
    }
}
