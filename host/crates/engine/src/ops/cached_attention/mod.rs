//! Softmax attention of one query over cached keys and values: a step of decoding.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::Span;

/// `out = softmax(q·kᵀ/√head_dim)·v` in each head, over the keys and values of the query's own and all earlier tokens.
#[derive(Clone, Copy, Debug)]
pub struct CachedAttention {
    /// Written, `[heads · head_dim]`.
    pub out: Span<f32>,
    /// The query, `[heads · head_dim]`.
    pub q: Span<f32>,
    /// Keys, `[tokens, heads · head_dim]`.
    pub k: Span<f32>,
    /// Values, as k.
    pub v: Span<f32>,
    /// Heads.
    pub heads: usize,
}

impl CachedAttention {
    pub(super) fn flops(&self) -> usize {
        4 * self.k.len()
    }
}
