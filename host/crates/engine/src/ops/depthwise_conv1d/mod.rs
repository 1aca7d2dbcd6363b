//! Depthwise convolution within sequences: each channel has its own taps. Forward only: vocoders are run here, not trained.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use super::ConvolutionShape;
use crate::memory::Span;

/// `y[t][c] = bias[c] + Σ_tap weight[tap][c] · x[t + (tap − (kernel − 1)/2) · dilation][c]`, where rows outside of the sequence count as zeros.
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseConv1d {
    /// Written, `[rows, channels]`.
    pub y: Span<f32>,
    /// `[rows, channels]`.
    pub x: Span<f32>,
    /// `[kernel, channels]`.
    pub weight: Span<f32>,
    /// `[channels]`, if there is one.
    pub bias: Option<Span<f32>>,
    /// Sequences and taps.
    pub shape: ConvolutionShape,
}
