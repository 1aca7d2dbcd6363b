//! Softmax attention of the last rows of a sequence over cached keys and values: a step of decoding, or a part of a prompt.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod row;

use crate::memory::{Activation, Span};

/// `out = softmax(q·kᵀ/√head_dim)·v` in each head: of the `rows` queries, which are the last of `tokens` rows, each sees its own and all earlier keys.
/// Query head h reads key head `h / (heads / kv_heads)`, as in [`AttentionShape`](crate::backend::AttentionShape).
#[derive(Clone, Copy, Debug)]
pub struct CachedAttention {
    /// Written, `[rows, heads · head_dim]`.
    pub out: Span<f32>,
    /// The queries, `[rows, heads · head_dim]`.
    pub q: Span<f32>,
    /// Keys, `[tokens, kv_heads · head_dim]`.
    pub k: Activation,
    /// Values, as k.
    pub v: Activation,
    /// Query heads, a multiple of `kv_heads`.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

impl CachedAttention {
    /// Rows and tokens.
    ///
    /// # Panics
    /// If operands do not fit together.
    fn shape(&self) -> [usize; 2] {
        let Self { heads, kv_heads, head_dim, .. } = *self;
        assert!(kv_heads > 0 && heads.is_multiple_of(kv_heads), "{heads} query heads over {kv_heads} key heads");
        let (rows, tokens) = (self.q.len() / (heads * head_dim), self.k.len() / (kv_heads * head_dim));
        let fits = self.q.len() == rows * heads * head_dim && self.k.len() == tokens * kv_heads * head_dim;
        let alike = self.out.len() == self.q.len() && self.v.len() == self.k.len();
        assert!(fits && alike && 0 < rows && rows <= tokens, "{rows} rows of queries over {tokens} of keys");
        [rows, tokens]
    }

    pub(super) fn flops(&self) -> usize {
        let [rows, tokens] = self.shape();
        2 * self.heads * self.head_dim * (rows * (2 * tokens - rows + 1))
    }
}
