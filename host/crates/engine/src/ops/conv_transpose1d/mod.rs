//! Transposed convolution of one sequence. Forward only: vocoders are run here, not trained.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::backend::Weight;
use crate::memory::Span;

/// Row `stride · t + tap − (kernel − stride)/2` of y gets row `t` of x times the weight's rows of that tap, plus the bias; `kernel ≥ stride`, both
/// even or both odd.
#[derive(Clone, Copy, Debug)]
pub struct ConvTranspose1d {
    /// Written, `[stride · rows, out]`.
    pub y: Span<f32>,
    /// `[rows, in]`.
    pub x: Span<f32>,
    /// `[kernel · out, in]`, row `tap · out + channel`.
    pub weight: Weight,
    /// `[out]`, if there is one.
    pub bias: Option<Span<f32>>,
    /// Rows of y for one of x.
    pub stride: usize,
}

impl ConvTranspose1d {
    pub(super) fn flops(&self) -> usize {
        self.weight.flops(self.x.len() / self.weight.in_features)
    }
}
