//! The transformer block: `x + attention(norm(x))`, then `x + mlp(norm(x))` (Vaswani et al. 2017, norms first as in GPT-2).
//!
//! Its parts are of several kinds: see [`BlockShape`].

use primal_device::grid::Grid;

use super::attention::{AttentionActivations, Heads, SelfAttention};
use super::mlp::{Mlp, MlpActivations, MlpKind};
use super::norm::{Norm, NormActivations, NormKind};
use super::parameters::{Parameters, Specs};
use super::pass::{Backward, GradientSink, Rows};
use super::rotary::RotaryPlace;
use crate::backend::{Backend, Sequences};
use crate::interrupt;
use crate::memory::{Act, Activation, Kind, Plan, Span};
use crate::ops::Add;

/// Sizes and kinds of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockShape {
    /// Width of the residual stream.
    pub dim: usize,
    /// What both norms are.
    pub norm: NormKind,
    /// Heads of the block's attention.
    pub heads: Heads,
    /// Width between the layers of the MLP.
    pub hidden: usize,
    /// How the MLP is built.
    pub mlp: MlpKind,
    /// Angles of the heads, if they turn.
    pub rotary: Option<RotaryPlace>,
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
    keeps: Keeps,
}

/// What is left of a block's activations when its backward pass begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    /// All.
    All,
    /// Nothing: the backward pass begins with the forward pass.
    Nothing,
    /// As above; and queries, keys and values lie where the hidden values come later. The backward pass projects them again once it is through with those.
    NothingOverlaid,
}

impl BlockActivations {
    /// Reserves the activations of one block, of at most so many rows.
    pub fn plan(plan: &mut Plan, act: Act, name: &str, shape: &BlockShape, rows: usize) -> Self {
        let attention = AttentionActivations::plan(plan, act, name, rows, shape.dim, &shape.heads, shape.rotary);
        let mlp = MlpActivations::plan(plan, act, name, shape.mlp, rows, shape.hidden);
        let [norm1, norm2] = Self::plan_norms(plan, act, name, shape, rows);
        Self { attention, mlp, norm1, norm2, keeps: Keeps::All }
    }

    /// Reserves the activations of a block that keeps nothing between its forward and its backward pass, which therefore begins with the
    /// forward pass. What is dead gives its place to what comes next, where it has room for it.
    pub fn plan_shared(plan: &mut Plan, act: Act, name: &str, shape: &BlockShape, rows: usize) -> Self {
        let mlp = MlpActivations::plan(plan, act, name, shape.mlp, rows, shape.hidden);
        Self::plan_around(mlp, plan, act, name, shape, rows)
    }

    /// As above, where there is no backward pass.
    pub fn plan_forward(plan: &mut Plan, name: &str, shape: &BlockShape, rows: usize) -> Self {
        let mlp = MlpActivations::plan_forward(plan, name, shape.mlp, rows, shape.hidden);
        Self::plan_around(mlp, plan, Act::F32, name, shape, rows)
    }

    fn plan_around(mlp: MlpActivations, plan: &mut Plan, act: Act, name: &str, shape: &BlockShape, rows: usize) -> Self {
        let (dim, heads) = (shape.dim, &shape.heads);
        let (attention, keeps) = if heads.norms.is_none() && heads.widths().iter().sum::<usize>() <= shape.hidden {
            (AttentionActivations::plan_in(plan, act, name, rows, dim, heads, shape.rotary, mlp.hidden), Keeps::NothingOverlaid)
        } else {
            (AttentionActivations::plan(plan, act, name, rows, dim, heads, shape.rotary), Keeps::Nothing)
        };
        let [norm1, norm2] = Self::plan_norms(plan, act, name, shape, rows);
        Self { attention, mlp, norm1, norm2, keeps }
    }

    fn plan_norms(plan: &mut Plan, act: Act, name: &str, shape: &BlockShape, rows: usize) -> [NormActivations; 2] {
        ["norm1", "norm2"].map(|part| NormActivations::plan(plan, act, &format!("{name}.{part}"), shape.norm, rows, shape.dim))
    }

    /// The first norm's output, if it is `f32`: in a block that keeps nothing, a place that is free between its forward and its backward pass.
    pub fn normed(&self) -> Option<Span<f32>> {
        self.norm1.y.as_f32()
    }

    /// These activations with a cache of keys and values of so many rows: all else is shared with `self`.
    pub fn with_own_cache(&self, plan: &mut Plan, name: &str, context: usize, act: Act) -> Self {
        Self { attention: self.attention.with_own_cache(plan, name, context, act), ..*self }
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
        // Those of q, k and v, and later that of the MLP's hidden layer, lie in `wide`.
        let wide = rows * (shape.mlp.gradients() * shape.hidden).max(shape.heads.gradients());
        let narrow = rows * shape.dim.max(shape.heads.widths()[0]);
        Self { narrow: plan.span(Kind::Activation, "gradient.narrow", narrow), wide: plan.span(Kind::Activation, "gradient.wide", wide) }
    }

    /// In the places of activations of a block that keeps nothing which are used for the last time just before, if they are `f32` and have room.
    pub fn within(kept: &BlockActivations, shape: &BlockShape) -> Option<Self> {
        let fits = shape.mlp.gradients() == 1 && shape.heads.gradients() <= shape.hidden && shape.heads.widths()[0] <= shape.dim;
        if !fits || kept.keeps != Keeps::NothingOverlaid {
            return None;
        }
        Some(Self { narrow: kept.norm2.y.as_f32()?, wide: kept.mlp.activated.as_f32()? })
    }
}

impl Block {
    /// Names the parameters of a block. `residual` scales the start of the two layers that write to the residual stream.
    pub fn new(specs: &mut Specs, name: &str, shape: &BlockShape, grid: Option<&'static Grid>, residual: f32) -> Self {
        let BlockShape { dim, norm, heads, hidden, mlp, .. } = *shape;
        Self {
            norm1: Norm::new(specs, &format!("{name}.norm1"), norm, dim),
            attention: SelfAttention::new(specs, &format!("{name}.attention"), dim, heads, grid, residual),
            norm2: Norm::new(specs, &format!("{name}.norm2"), norm, dim),
            mlp: Mlp::new(specs, &format!("{name}.mlp"), mlp, [dim, hidden], grid, residual),
        }
    }

    /// `y = block(x)`; both `[rows, dim]`. The MLP of a block that is asked for rows after others has to be of linear layers.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &BlockActivations, y: Activation, x: Activation, rows: Rows) {
        interrupt::check();
        self.activate(b, p, kept, x, rows);
        self.mlp.finish(b, p, &kept.mlp, y, rows);
        b.run(Add { y, a: y, b: kept.attention.first(rows.count()).out.y });
    }

    /// The forward pass up to the last activations, which is what the backward pass needs of it.
    fn activate<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &BlockActivations, x: Activation, rows: Rows) {
        let [norm1, norm2] = [kept.norm1, kept.norm2].map(|norm| norm.first(rows.count()));
        let middle = kept.attention.first(rows.count()).out.y;
        self.norm1.forward(b, p, &norm1, x);
        self.attention.forward(b, p, &kept.attention, norm1.y, rows);
        b.run(Add { y: middle, a: middle, b: x });
        self.norm2.forward(b, p, &norm2, middle);
        self.mlp.activate(b, p, &kept.mlp, norm2.y, rows);
    }

    /// Copies cached rows from `first` on to those from `to` on, without overlap, and turns their keys back: see
    /// [`SelfAttention::move_cache`].
    pub fn move_cache<B: Backend>(&self, b: &mut B, kept: &BlockActivations, first: usize, to: usize, back: Span<u32>) {
        self.attention.move_cache(b, &kept.attention, first, to, back);
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
        if kept.keeps != Keeps::All {
            self.activate(pass.b, pass.p, kept, x, rows);
        }
        interrupt::check();
        let count = rows.count();
        let [norm1, norm2] = [kept.norm1, kept.norm2].map(|norm| norm.first(count));
        let (middle, narrow) = (kept.attention.first(count).out.y, g.narrow.slice(0, d.len()));
        self.mlp.backward(pass, &kept.mlp, narrow, d, norm2.y, sequences, g.wide);
        self.norm2.backward(pass, &norm2, d, narrow, middle);
        let d_attended = g.narrow.slice(0, count * self.attention.width());
        self.attention.backward_output(pass, &kept.attention, d_attended, d, sequences);
        if kept.keeps == Keeps::NothingOverlaid {
            self.attention.project(pass.b, pass.p, &kept.attention, norm1.y, rows);
        }
        self.attention.backward(pass, &kept.attention, narrow, d_attended, norm1.y, sequences, g.wide);
        self.norm1.backward(pass, &norm1, d, narrow, x);
    }
}
