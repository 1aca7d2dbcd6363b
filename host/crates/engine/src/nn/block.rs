//! The transformer block: `x + attention(norm(x))`, then `x + mlp(norm(x))` (Vaswani et al. 2017, norms first as in GPT-2).
//!
//! The first layer of its MLP can be a convolution, as in FastSpeech (Ren et al. 2019).

use primal_device::grid::Grid;

use super::attention::{AttentionActivations, AttentionOutputs, Heads, SelfAttention};
use super::mlp::{Mlp, MlpActivations};
use super::norm::{Norm, NormActivations};
use super::parameters::{Parameters, Specs};
use super::pass::{Backward, GradientSink, Rows};
use crate::backend::{Backend, Sequences};
use crate::interrupt;
use crate::memory::{Act, Activation, Kind, Plan, Span};
use crate::ops::Add;

/// Sizes of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockShape {
    /// Width of the residual stream.
    pub dim: usize,
    /// Heads of the block's attention.
    pub heads: Heads,
    /// Width between the layers of the MLP.
    pub hidden: usize,
    /// Rows that the first layer of the MLP sees; odd. 1 for a linear layer.
    pub kernel: usize,
}

/// The layers of a block.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    norm1: Norm,
    attention: SelfAttention,
    norm2: Norm,
    mlp: Mlp,
}

/// What a block's forward pass keeps for its backward pass.
#[derive(Clone, Copy, Debug)]
pub struct BlockActivations {
    attention: AttentionActivations,
    mlp: MlpActivations,
    norm1: NormActivations,
    norm2: NormActivations,
    /// Whether what is dead gives its place to what comes next: see [`BlockActivations::plan_overlaid`].
    overlaid: bool,
}

impl BlockActivations {
    /// Reserves the activations of one block, of at most so many rows.
    pub fn plan(plan: &mut Plan, act: Act, name: &str, shape: &BlockShape, rows: usize) -> Self {
        let attention = AttentionActivations::plan(plan, act, name, rows, shape.dim, shape.heads.count);
        let mlp = MlpActivations::plan(plan, act, name, rows, shape.hidden);
        let [norm1, norm2] = Self::plan_norms(plan, act, name, shape, rows);
        Self { attention, mlp, norm1, norm2, overlaid: false }
    }

    /// Reserves the activations of a block that keeps nothing between its forward and its backward pass, which therefore begins with the
    /// forward pass. Queries, keys and values lie where the hidden values come later; the backward pass projects them again once it is
    /// through with those.
    ///
    /// # Panics
    /// If the MLP is too narrow for that: below three times the width.
    pub fn plan_overlaid(plan: &mut Plan, act: Act, name: &str, shape: &BlockShape, rows: usize) -> Self {
        assert!(shape.hidden >= 3 * shape.dim, "an MLP of {} for queries, keys and values of {}", shape.hidden, shape.dim);
        let out = AttentionOutputs::plan(plan, act, name, rows, shape.dim, shape.heads.count);
        let mlp = MlpActivations::plan(plan, act, name, rows, shape.hidden);
        let len = rows * shape.dim;
        let projections = [0, 1, 2].map(|i| mlp.hidden.slice(i * len, len));
        let [norm1, norm2] = Self::plan_norms(plan, act, name, shape, rows);
        Self { attention: AttentionActivations { projections, out }, mlp, norm1, norm2, overlaid: true }
    }

    fn plan_norms(plan: &mut Plan, act: Act, name: &str, shape: &BlockShape, rows: usize) -> [NormActivations; 2] {
        ["norm1", "norm2"].map(|part| NormActivations::plan(plan, act, &format!("{name}.{part}"), rows, shape.dim))
    }

    /// The first norm's output, if it is `f32`: in an overlaid block, a place that is free between its forward and its backward pass.
    pub fn normed(&self) -> Option<Span<f32>> {
        self.norm1.y.as_f32()
    }

    /// These activations with keys and values of their own: all else is shared with `self`.
    pub fn with_own_cache(&self, plan: &mut Plan, name: &str) -> Self {
        Self { attention: self.attention.with_own_cache(plan, name), ..*self }
    }
}

/// Gradients that live only inside one block's backward pass.
#[derive(Clone, Copy, Debug)]
pub struct BlockGradients {
    narrow: Span<f32>,
    wide: Span<f32>,
}

impl BlockGradients {
    /// Reserves them for blocks of that shape over at most so many rows.
    pub fn plan(plan: &mut Plan, shape: &BlockShape, rows: usize) -> Self {
        // The gradients of q, k and v, and later that of the MLP's hidden layer, lie in `wide`.
        let wide = rows * shape.hidden.max(3 * shape.dim);
        Self {
            narrow: plan.span(Kind::Activation, "gradient.narrow", rows * shape.dim),
            wide: plan.span(Kind::Activation, "gradient.wide", wide),
        }
    }

    /// In the places of an overlaid block's activations that are used for the last time just before, if they are `f32`.
    pub fn within(kept: &BlockActivations) -> Option<Self> {
        Some(Self { narrow: kept.norm2.y.as_f32()?, wide: kept.mlp.activated.as_f32()? })
    }
}

impl Block {
    /// Names the parameters of a block. `residual` scales the start of the two layers that write to the residual stream.
    pub fn new(specs: &mut Specs, name: &str, shape: &BlockShape, grid: Option<&'static Grid>, residual: f32) -> Self {
        let BlockShape { dim, heads, hidden, kernel } = *shape;
        Self {
            norm1: Norm::new(specs, &format!("{name}.norm1"), dim),
            attention: SelfAttention::new(specs, &format!("{name}.attention"), dim, heads, grid, residual),
            norm2: Norm::new(specs, &format!("{name}.norm2"), dim),
            mlp: Mlp::new(specs, &format!("{name}.mlp"), [dim, hidden, kernel], grid, residual),
        }
    }

    /// `y = block(x)`; both `[rows, dim]`. The MLP of a block that is asked for a next row has to be of linear layers.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &BlockActivations, y: Activation, x: Activation, rows: Rows) {
        interrupt::check();
        self.activate(b, p, kept, x, rows);
        self.mlp.finish(b, p, &kept.mlp, y, rows);
        b.run(Add { y, a: y, b: kept.attention.of(rows).out.y });
    }

    /// The forward pass up to the last activations, which is what the backward pass needs of it.
    fn activate<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &BlockActivations, x: Activation, rows: Rows) {
        let [norm1, norm2] = [kept.norm1, kept.norm2].map(|norm| norm.first(rows.count()));
        let middle = kept.attention.of(rows).out.y;
        self.norm1.forward(b, p, &norm1, x);
        self.attention.forward(b, p, &kept.attention, norm1.y, rows);
        b.run(Add { y: middle, a: middle, b: x });
        self.norm2.forward(b, p, &norm2, middle);
        self.mlp.activate(b, p, &kept.mlp, norm2.y, rows);
    }

    /// Turns `d` from the gradient of the block's output into that of its input `x`.
    pub fn backward<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        kept: &BlockActivations,
        d: Span<f32>,
        x: Activation,
        sequences: Sequences,
        g: &BlockGradients,
    ) {
        let rows = Rows::Of(sequences);
        if kept.overlaid {
            self.activate(pass.b, pass.p, kept, x, rows);
        }
        interrupt::check();
        let [norm1, norm2] = [kept.norm1, kept.norm2].map(|norm| norm.first(rows.count()));
        let (middle, narrow) = (kept.attention.of(rows).out.y, g.narrow.slice(0, d.len()));
        self.mlp.backward(pass, &kept.mlp, narrow, d, norm2.y, sequences, g.wide);
        self.norm2.backward(pass, &norm2, d, narrow, middle);
        self.attention.backward_output(pass, &kept.attention, narrow, d, sequences);
        if kept.overlaid {
            self.attention.project(pass.b, pass.p, &kept.attention, norm1.y, rows);
        }
        self.attention.backward(pass, &kept.attention, narrow, norm1.y, sequences, g.wide);
        self.norm1.backward(pass, &norm1, d, narrow, x);
    }
}
