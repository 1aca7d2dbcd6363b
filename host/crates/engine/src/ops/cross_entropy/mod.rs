//! Softmax cross entropy, loss and gradient in one pass over each row of logits.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::Span;

/// Row losses in nats; logits become `(softmax − onehot) · gradient_scale` in place. A target of `u32::MAX` is masked: loss and gradient 0.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy {
    /// Read and written: the first `vocab` columns of `[rows, stride]`.
    pub logits: Span<f32>,
    /// Written, `[rows]`.
    pub losses: Span<f32>,
    /// `[rows]`.
    pub targets: Span<u32>,
    /// Columns that count.
    pub vocab: usize,
    /// What a loss counts in the gradient.
    pub gradient_scale: f32,
}
