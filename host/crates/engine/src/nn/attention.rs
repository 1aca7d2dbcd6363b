//! Multi-head self-attention (Vaswani et al. 2017), its projections without biases.

use primal_device::grid::Grid;

use super::linear::{LinearLayer, start_sigma};
use super::parameters::{Parameters, Specs};
use super::pass::{Backward, GradientSink, Rows, first_rows};
use crate::backend::{AttentionShape, Backend, Sequences};
use crate::memory::{Act, Activation, Kind, Plan, Span};
use crate::ops::{Attention, AttentionBackward, CachedAttention};

/// Heads of an attention.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Number of heads, which divides the width.
    pub count: usize,
    /// Whether a row sees only itself and earlier rows.
    pub causal: bool,
}

/// `y = softmax(q·kᵀ / √head_dim)·v · Oᵀ`, where q, k and v are projections of x.
#[derive(Clone, Copy, Debug)]
pub struct SelfAttention {
    q: LinearLayer,
    k: LinearLayer,
    v: LinearLayer,
    o: LinearLayer,
    heads: Heads,
    dim: usize,
}

/// What an attention's forward pass keeps for its backward pass.
#[derive(Clone, Copy, Debug)]
pub struct AttentionActivations {
    /// Queries, keys and values, `[rows, dim]` each.
    pub(super) projections: [Activation; 3],
    pub(super) out: AttentionOutputs,
}

/// What comes out of an attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttentionOutputs {
    attended: Activation,
    /// The layer's output, `[rows, dim]`.
    pub y: Activation,
    /// `[rows, heads]`.
    lse: Span<f32>,
    rows: usize,
}

impl AttentionOutputs {
    /// Reserves them for at most so many rows.
    pub fn plan(plan: &mut Plan, act: Act, name: &str, rows: usize, dim: usize, heads: usize) -> Self {
        let [attended, y] = ["attended", "middle"].map(|part| Activation::plan(plan, act, format!("{name}.{part}"), rows * dim));
        Self { attended, y, lse: plan.span(Kind::Activation, format!("{name}.lse"), rows * heads), rows }
    }

    fn first(&self, rows: usize) -> Self {
        let part = |matrix| first_rows(matrix, self.rows, rows);
        Self { attended: part(self.attended), y: part(self.y), lse: self.lse.slice(0, self.lse.len() / self.rows * rows), rows }
    }
}

impl AttentionActivations {
    /// Reserves them for at most so many rows.
    pub fn plan(plan: &mut Plan, act: Act, name: &str, rows: usize, dim: usize, heads: usize) -> Self {
        let projections = ["q", "k", "v"].map(|part| Activation::plan(plan, act, format!("{name}.{part}"), rows * dim));
        Self { projections, out: AttentionOutputs::plan(plan, act, name, rows, dim, heads) }
    }

    /// These activations with keys and values of their own: all else is shared with `self`.
    pub fn with_own_cache(&self, plan: &mut Plan, name: &str) -> Self {
        let [q, k, _] = self.projections;
        let [k, v] = ["k", "v"].map(|part| Activation::plan(plan, k.act(), format!("{name}.{part}"), k.len()));
        Self { projections: [q, k, v], ..*self }
    }

    /// The places of these rows. Keys and values of a next row join those of the earlier ones.
    pub fn of(&self, rows: Rows) -> Self {
        let (of, count) = (self.out.rows, rows.count());
        let mut projections = self.projections.map(|span| first_rows(span, of, count));
        if let Rows::Next(position) = rows {
            for (part, span) in projections.iter_mut().zip(self.projections).skip(1) {
                *part = span.slice(position * part.len(), part.len());
            }
        }
        Self { projections, out: self.out.first(count) }
    }
}

impl SelfAttention {
    /// Names `<name>.q`, `.k`, `.v` and `.o`, `[dim, dim]` each. `residual` scales the start of the last.
    pub fn new(specs: &mut Specs, name: &str, dim: usize, heads: Heads, grid: Option<&'static Grid>, residual: f32) -> Self {
        let sigma = start_sigma(dim);
        let mut layer = |part: &str, sigma| LinearLayer::new(specs, &format!("{name}.{part}"), [dim, dim], grid, sigma);
        Self { q: layer("q", sigma), k: layer("k", sigma), v: layer("v", sigma), o: layer("o", sigma * residual), heads, dim }
    }

    fn shape(&self, sequences: Sequences) -> AttentionShape {
        AttentionShape {
            sequences,
            heads: self.heads.count,
            kv_heads: self.heads.count,
            head_dim: self.dim / self.heads.count,
            causal: self.heads.causal,
        }
    }

    /// From x `[rows, dim]` to the output in `kept`.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &AttentionActivations, x: Activation, rows: Rows) {
        self.project(b, p, kept, x, rows);
        let AttentionActivations { projections: [q, k, v], out } = kept.of(rows);
        match rows {
            Rows::Of(sequences) => b.run(Attention { out: out.attended, lse: out.lse, q, k, v, shape: self.shape(sequences) }),
            Rows::Next(position) => {
                let [_, k, v] = kept.projections.map(|cache| cache.slice(0, (position + 1) * self.dim));
                let (heads, head_dim) = (self.heads.count, self.dim / self.heads.count);
                b.run(CachedAttention { out: out.attended.f32(), q: q.f32(), k, v, heads, kv_heads: heads, head_dim });
            }
        }
        self.o.forward(b, p, out.y, out.attended, rows);
    }

    /// Queries, keys and values.
    pub fn project<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &AttentionActivations, x: Activation, rows: Rows) {
        for (layer, y) in [self.q, self.k, self.v].into_iter().zip(kept.of(rows).projections) {
            layer.forward(b, p, y, x, rows);
        }
    }

    /// Turns the gradient of what was attended to, which [`SelfAttention::backward_output`] wrote to `dx`, into that of x; `d_projections` holds
    /// three matrices `[rows, dim]`.
    pub fn backward<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        kept: &AttentionActivations,
        dx: Span<f32>,
        x: Activation,
        sequences: Sequences,
        d_projections: Span<f32>,
    ) {
        let len = sequences.rows() * self.dim;
        let AttentionActivations { projections: [q, k, v], out } = kept.of(Rows::Of(sequences));
        let [dq, dk, dv] = [0, 1, 2].map(|i| d_projections.slice(i * len, len));
        pass.b.run(AttentionBackward { dq, dk, dv, d_out: dx, out: out.attended, lse: out.lse, q, k, v, shape: self.shape(sequences) });
        for (layer, dy, accumulate) in [(self.q, dq, false), (self.k, dk, true), (self.v, dv, true)] {
            layer.backward(pass, dx, dy, x, sequences.rows(), accumulate);
        }
    }

    /// Writes the gradient of what was attended to, from that of the output.
    pub fn backward_output<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        kept: &AttentionActivations,
        d_attended: Span<f32>,
        dy: Span<f32>,
        sequences: Sequences,
    ) {
        let rows = sequences.rows();
        self.o.backward(pass, d_attended, dy, kept.out.first(rows).attended, rows, false);
    }
}
