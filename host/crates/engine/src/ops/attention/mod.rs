//! Softmax attention within sequences, and its backward pass from the kept log-sum-exp (Dao et al. 2022).

pub mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;

use crate::backend::AttentionShape;
use crate::memory::{Activation, Span};

/// `out = softmax(q·kᵀ/√head_dim)·v` in each head, over the keys that a query sees.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Written, `[rows, heads · head_dim]`.
    pub out: Activation,
    /// Written for the backward pass: the log-sum-exp of each row of scores, `[heads, len]` of each sequence, one after another.
    pub lse: Span<f32>,
    /// Queries, `[rows, heads · head_dim]`.
    pub q: Activation,
    /// Keys, `[rows, kv_heads · head_dim]`.
    pub k: Activation,
    /// Values, as k.
    pub v: Activation,
    /// Heads, and who sees whom.
    pub shape: AttentionShape,
}

/// The gradients of [`Attention`]; all matrices have the shapes that it gives. Those of keys and values add up over the query heads that share them.
#[derive(Clone, Copy, Debug)]
pub struct AttentionBackward {
    /// Written.
    pub dq: Span<f32>,
    /// Written.
    pub dk: Span<f32>,
    /// Written.
    pub dv: Span<f32>,
    /// Gradient of out.
    pub d_out: Span<f32>,
    /// Result of the forward pass.
    pub out: Activation,
    /// What the forward pass kept.
    pub lse: Span<f32>,
    /// Queries.
    pub q: Activation,
    /// Keys.
    pub k: Activation,
    /// Values.
    pub v: Activation,
    /// Heads, and who sees whom.
    pub shape: AttentionShape,
}

impl Attention {
    pub(super) fn flops(&self) -> usize {
        self.shape.flops(2)
    }
}

impl AttentionBackward {
    pub(super) fn flops(&self) -> usize {
        // What is computed again, the scores, does not count.
        self.shape.flops(4)
    }
}
