//! Convolution within sequences, as matrix products over windows of rows that are never copied as a whole (implicit GEMM, Chetlur et al. 2014).

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::backend::{Sequences, Weight};
use crate::memory::Span;

/// Row `t` of y is made of the rows `t + (tap − (kernel − 1)/2) · dilation` of x, where rows outside of the sequence count as zeros, so that y
/// has as many rows as x. The weight is `[out, kernel · in]`, column `tap · in + channel`.
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionShape {
    /// Which rows belong together.
    pub sequences: Sequences,
    /// Taps; odd.
    pub kernel: usize,
    /// Rows from tap to tap.
    pub dilation: usize,
}

/// `y = windows(x) · Wᵀ + bias`, or `y += …`.
#[derive(Clone, Copy, Debug)]
pub struct Conv1d {
    /// Written, `[rows, out]`.
    pub y: Span<f32>,
    /// `[rows, in]`.
    pub x: Span<f32>,
    /// `[out, kernel · in]`.
    pub weight: Weight,
    /// `[out]`, if there is one.
    pub bias: Option<Span<f32>>,
    /// Sequences and taps.
    pub shape: ConvolutionShape,
    /// Whether to add to y.
    pub accumulate: bool,
}

/// The gradient of x of a [`Conv1d`]: `dx = …`, or `dx += …`.
#[derive(Clone, Copy, Debug)]
pub struct Conv1dBackwardInput {
    /// Written, `[rows, in]`.
    pub dx: Span<f32>,
    /// Gradient of y, `[rows, out]`.
    pub dy: Span<f32>,
    /// `[out, kernel · in]`.
    pub weight: Weight,
    /// Sequences and taps.
    pub shape: ConvolutionShape,
    /// Whether to add to dx.
    pub accumulate: bool,
}

/// The gradient of the weight of a [`Conv1d`]: `dw = dyᵀ · windows(x)`, or `dw += …`.
#[derive(Clone, Copy, Debug)]
pub struct Conv1dBackwardWeight {
    /// Written, `[out, kernel · in]`.
    pub dw: Span<f32>,
    /// Gradient of y, `[rows, out]`.
    pub dy: Span<f32>,
    /// `[rows, in]`.
    pub x: Span<f32>,
    /// Sequences and taps.
    pub shape: ConvolutionShape,
    /// Whether to add to dw.
    pub accumulate: bool,
}

impl Conv1d {
    pub(super) fn flops(&self) -> usize {
        self.weight.flops(self.shape.sequences.rows())
    }
}

impl Conv1dBackwardInput {
    pub(super) fn flops(&self) -> usize {
        self.weight.flops(self.shape.sequences.rows())
    }
}

impl Conv1dBackwardWeight {
    pub(super) fn flops(&self) -> usize {
        2 * self.shape.sequences.rows() * self.dw.len()
    }
}
