//! Many tokens' product with a weight on a grid in integers: prompts.

pub mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
pub mod kernels;
mod panel;
#[cfg(test)]
mod tests;

use crate::backend::Weight;
use crate::memory::{Activation, Span};

/// `y = x · Wᵀ`, where each group of 32 activations of a row is rounded to steps of its largest magnitude over 127, as blocks of GGML's Q8_0 are, and
/// the products of a group are exact.
///
/// Other weights go the way of [`Linear`](crate::ops::Linear): those that are float, those on a grid without a denominator or with integers further apart
/// than 127 (prime13, prime15), and on CUDA all.
///
/// What rounding adds to y, measured against [`Linear`](crate::ops::Linear) on normal activations, 256 rows of 2,048 inputs, int4 and uint4: an error whose
/// root mean square is 0.53 % of that of y. Activations with outliers in a group lose more.
#[derive(Clone, Copy, Debug)]
pub struct LutGemm {
    /// `[rows, stride]`, of which the first `out` columns are written.
    pub y: Span<f32>,
    /// `[rows, in]`.
    pub x: Activation,
    /// `[out, in]`.
    pub weight: Weight,
    /// Rows.
    pub rows: usize,
}

impl LutGemm {
    pub(super) fn flops(&self) -> usize {
        self.weight.flops(self.rows)
    }
}
