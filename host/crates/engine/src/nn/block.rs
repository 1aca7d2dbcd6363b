//! The transformer block: `x + attention(norm(x))`, then `x + mlp(norm(x))` (Vaswani et al. 2017, norms first as in GPT-2).
//!
//! The first layer of its MLP can be a convolution, as in FastSpeech (Ren et al. 2019).

use primal_device::grid::GridId;

use super::parameters::{Init, Specs};
use super::{GradientSink, MatrixId, Parameters, Part, VectorId};
use crate::backend::{AttentionShape, Backend, ConvolutionShape, Sequences};
use crate::interrupt;
use crate::memory::{Kind, Plan, Span};

/// Widths of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockWidths {
    /// Of the residual stream.
    pub dim: usize,
    /// Between the layers of the MLP.
    pub hidden: usize,
    /// Rows that the first layer of the MLP sees; odd. 1 for a linear layer.
    pub kernel: usize,
}

impl BlockWidths {
    /// GPT-2's: an MLP of four times the width.
    pub fn gpt(dim: usize) -> Self {
        Self { dim, hidden: 4 * dim, kernel: 1 }
    }
}

/// The parameters of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockIds {
    norm1: Norm,
    q: MatrixId,
    k: MatrixId,
    v: MatrixId,
    o: MatrixId,
    norm2: Norm,
    fc1: MatrixId,
    fc2: MatrixId,
    kernel: usize,
}

/// A layer norm's parameters.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// Gain.
    pub gamma: VectorId,
    /// Bias.
    pub beta: VectorId,
}

impl Norm {
    /// Names `<name>.gamma` and `<name>.beta`, `[dim]`.
    pub fn new(specs: &mut Specs, name: &str, dim: usize) -> Self {
        Self {
            gamma: specs.vector(format!("{name}.gamma"), &[dim], Init::Constant(1.0)),
            beta: specs.vector(format!("{name}.beta"), &[dim], Init::Constant(0.0)),
        }
    }
}

impl BlockIds {
    /// Names the parameters of a block. `residual` scales the start of the two layers that write to the residual stream.
    pub fn new(specs: &mut Specs, name: &str, widths: BlockWidths, grid: Option<GridId>, sigma: f32, residual: f32) -> Self {
        let BlockWidths { dim, hidden, kernel } = widths;
        let matrix = |specs: &mut Specs, part: &str, shape, sigma| specs.matrix(format!("{name}.{part}"), shape, grid, sigma);
        Self {
            norm1: Norm::new(specs, &format!("{name}.norm1"), dim),
            q: matrix(specs, "attention.q", [dim, dim], sigma),
            k: matrix(specs, "attention.k", [dim, dim], sigma),
            v: matrix(specs, "attention.v", [dim, dim], sigma),
            o: matrix(specs, "attention.o", [dim, dim], sigma * residual),
            norm2: Norm::new(specs, &format!("{name}.norm2"), dim),
            fc1: matrix(specs, "mlp.fc1", [hidden, kernel * dim], sigma / (kernel as f32).sqrt()),
            fc2: matrix(specs, "mlp.fc2", [dim, hidden], sigma * residual),
            kernel,
        }
    }
}

/// What a block's forward pass keeps for its backward pass.
#[derive(Clone, Copy, Debug)]
pub struct BlockActivations {
    norm1: NormActivations,
    q: Span<f32>,
    k: Span<f32>,
    v: Span<f32>,
    attended: Span<f32>,
    lse: Span<f32>,
    middle: Span<f32>,
    norm2: NormActivations,
    hidden: Span<f32>,
    activated: Span<f32>,
    /// Whether what is dead gives its place to what comes next: see [`BlockActivations::plan_overlaid`].
    overlaid: bool,
}

/// A layer norm's output, and its rows' mean and reciprocal deviation.
#[derive(Clone, Copy, Debug)]
pub struct NormActivations {
    /// `[tokens, dim]`.
    pub y: Span<f32>,
    /// `[tokens]`.
    pub mean: Span<f32>,
    /// `[tokens]`.
    pub rstd: Span<f32>,
}

impl NormActivations {
    /// Reserves it.
    pub fn plan(plan: &mut Plan, name: &str, tokens: usize, dim: usize) -> Self {
        let y = plan.span(Kind::Activation, format!("{name}.y"), tokens * dim);
        Self::plan_in(plan, name, y, tokens)
    }

    /// Reserves all but the output.
    pub fn plan_in(plan: &mut Plan, name: &str, y: Span<f32>, tokens: usize) -> Self {
        Self {
            y,
            mean: plan.span(Kind::Activation, format!("{name}.mean"), tokens),
            rstd: plan.span(Kind::Activation, format!("{name}.rstd"), tokens),
        }
    }

    /// That of the first `tokens` tokens.
    pub fn first(&self, tokens: usize) -> Self {
        let part = |span| first_rows(span, self.mean.len(), tokens);
        Self { y: part(self.y), mean: part(self.mean), rstd: part(self.rstd) }
    }
}

/// The first `rows` of a matrix of `of` rows.
fn first_rows(matrix: Span<f32>, of: usize, rows: usize) -> Span<f32> {
    matrix.slice(0, matrix.len() / of * rows)
}

impl BlockActivations {
    /// Reserves the activations of one block; `hidden` is the width of its MLP.
    pub fn plan(plan: &mut Plan, name: &str, shape: AttentionShape, hidden: usize) -> Self {
        let (tokens, dim) = (shape.tokens(), shape.dim());
        let mut span = |part: &str, len| plan.span(Kind::Activation, format!("{name}.{part}"), len);
        let [q, k, v, attended, middle] = ["q", "k", "v", "attended", "middle"].map(|part| span(part, tokens * dim));
        let lse = span("lse", tokens * shape.heads);
        let [hidden, activated] = ["hidden", "activated"].map(|part| span(part, tokens * hidden));
        Self {
            norm1: NormActivations::plan(plan, &format!("{name}.norm1"), tokens, dim),
            q,
            k,
            v,
            attended,
            lse,
            middle,
            norm2: NormActivations::plan(plan, &format!("{name}.norm2"), tokens, dim),
            hidden,
            activated,
            overlaid: false,
        }
    }

    /// Reserves the activations of a block that keeps nothing between its forward and its backward pass. Queries, keys and values lie where
    /// the hidden values come later; the backward pass projects them again once it is through with those.
    pub fn plan_overlaid(plan: &mut Plan, name: &str, shape: AttentionShape, hidden: usize) -> Self {
        let (tokens, dim) = (shape.tokens(), shape.dim());
        let mut span = |part: &str, len| plan.span(Kind::Activation, format!("{name}.{part}"), len);
        let [attended, middle] = ["attended", "middle"].map(|part| span(part, tokens * dim));
        let lse = span("lse", tokens * shape.heads);
        let [hidden, activated] = ["hidden", "activated"].map(|part| span(part, tokens * hidden.max(3 * dim)));
        let [q, k, v] = [0, 1, 2].map(|i| hidden.slice(i * tokens * dim, tokens * dim));
        let [norm1, norm2] = ["norm1", "norm2"].map(|part| NormActivations::plan(plan, &format!("{name}.{part}"), tokens, dim));
        Self { norm1, q, k, v, attended, lse, middle, norm2, hidden, activated, overlaid: true }
    }

    /// The first norm's output: in an overlaid block, a place that is free between its forward and its backward pass.
    pub fn normed(&self) -> Span<f32> {
        self.norm1.y
    }

    /// The same activations, but keys and values of its own.
    pub fn with_own_cache(&self, plan: &mut Plan, name: &str) -> Self {
        let [k, v] = ["k", "v"].map(|part| plan.span(Kind::Activation, format!("{name}.{part}"), self.k.len()));
        Self { k, v, ..*self }
    }

    /// Those of the first `tokens` tokens.
    fn first(&self, tokens: usize) -> Self {
        let part = |span| first_rows(span, self.norm1.mean.len(), tokens);
        Self {
            norm1: self.norm1.first(tokens),
            q: part(self.q),
            k: part(self.k),
            v: part(self.v),
            attended: part(self.attended),
            lse: part(self.lse),
            middle: part(self.middle),
            norm2: self.norm2.first(tokens),
            hidden: part(self.hidden),
            activated: part(self.activated),
            overlaid: self.overlaid,
        }
    }
}

/// Gradients that live only inside one block's backward pass.
#[derive(Clone, Copy, Debug)]
pub struct BlockGradients {
    narrow: Span<f32>,
    wide: Span<f32>,
}

impl BlockGradients {
    /// Reserves them for blocks of at most these widths.
    pub fn plan(plan: &mut Plan, tokens: usize, dim: usize, hidden: usize) -> Self {
        // The gradients of q, k and v, and later that of the MLP's hidden layer, lie in `wide`.
        let wide = tokens * hidden.max(3 * dim);
        Self {
            narrow: plan.span(Kind::Activation, "gradient.narrow", tokens * dim),
            wide: plan.span(Kind::Activation, "gradient.wide", wide),
        }
    }

    /// In the places of an overlaid block's activations that are used for the last time just before.
    pub fn within(kept: &BlockActivations) -> Self {
        Self { narrow: kept.norm2.y, wide: kept.activated }
    }
}

/// A block over its activations.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Its parameters.
    pub ids: BlockIds,
    /// Where its forward pass keeps what the backward pass needs.
    pub kept: BlockActivations,
    /// Sequences, tokens, heads.
    pub shape: AttentionShape,
}

impl Block {
    /// `y = block(x)`; both `[tokens, dim]`.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, y: Span<f32>, x: Span<f32>) {
        interrupt::check();
        self.activate(b, p, x);
        let (ids, a, rows) = (&self.ids, &self.kept, self.shape.tokens());
        b.linear(y, a.activated, p.weight(ids.fc2), rows);
        b.add(y, y, a.middle);
    }

    /// The forward pass up to the last activations, which is what the backward pass needs of it.
    pub fn activate<B: Backend>(&self, b: &mut B, p: &Parameters, x: Span<f32>) {
        let (ids, a, rows, dim) = (&self.ids, &self.kept, self.shape.tokens(), self.shape.dim());
        b.layer_norm(a.norm1.y, a.norm1.mean, a.norm1.rstd, x, p.vector(ids.norm1.gamma), p.vector(ids.norm1.beta), dim);
        self.project(b, p);
        b.attention(a.attended, a.lse, a.q, a.k, a.v, self.shape);
        b.linear(a.middle, a.attended, p.weight(ids.o), rows);
        b.add(a.middle, a.middle, x);
        b.layer_norm(a.norm2.y, a.norm2.mean, a.norm2.rstd, a.middle, p.vector(ids.norm2.gamma), p.vector(ids.norm2.beta), dim);
        match self.convolution() {
            None => b.linear(a.hidden, a.norm2.y, p.weight(ids.fc1), rows),
            Some(shape) => b.conv1d(a.hidden, a.norm2.y, p.weight(ids.fc1), None, shape, false),
        }
        b.gelu(a.activated, a.hidden);
    }

    /// Queries, keys and values.
    fn project<B: Backend>(&self, b: &mut B, p: &Parameters) {
        let (ids, a, rows) = (&self.ids, &self.kept, self.shape.tokens());
        for (y, id) in [(a.q, ids.q), (a.k, ids.k), (a.v, ids.v)] {
            b.linear(y, a.norm1.y, p.weight(id), rows);
        }
    }

    /// The block over only the first rows of its memory, which hold these sequences.
    pub fn over(&self, sequences: Sequences) -> Self {
        Self { ids: self.ids, kept: self.kept.first(sequences.rows()), shape: AttentionShape { sequences, ..self.shape } }
    }

    /// The shape of the MLP's first layer, where that is a convolution.
    fn convolution(&self) -> Option<ConvolutionShape> {
        let kernel = self.ids.kernel;
        (kernel > 1).then_some(ConvolutionShape { sequences: self.shape.sequences, kernel, dilation: 1 })
    }

    /// `y = block(x)` for the token at `position` alone, both `[dim]`: its key and value join those of the earlier tokens. The MLP has to be
    /// of linear layers.
    pub fn decode<B: Backend>(&self, b: &mut B, p: &Parameters, y: Span<f32>, x: Span<f32>, position: usize) {
        let (ids, a, dim) = (&self.ids, self.kept.first(1), self.shape.dim());
        let [(k, keys), (v, values)] =
            [self.kept.k, self.kept.v].map(|cache| (cache.slice(position * dim, dim), cache.slice(0, (position + 1) * dim)));
        b.layer_norm(a.norm1.y, a.norm1.mean, a.norm1.rstd, x, p.vector(ids.norm1.gamma), p.vector(ids.norm1.beta), dim);
        b.lut_gemv(a.q, a.norm1.y, p.weight(ids.q));
        b.lut_gemv(k, a.norm1.y, p.weight(ids.k));
        b.lut_gemv(v, a.norm1.y, p.weight(ids.v));
        b.cached_attention(a.attended, a.q, keys, values, self.shape.heads);
        b.lut_gemv(a.middle, a.attended, p.weight(ids.o));
        b.add(a.middle, a.middle, x);
        b.layer_norm(a.norm2.y, a.norm2.mean, a.norm2.rstd, a.middle, p.vector(ids.norm2.gamma), p.vector(ids.norm2.beta), dim);
        b.lut_gemv(a.hidden, a.norm2.y, p.weight(ids.fc1));
        b.gelu(a.activated, a.hidden);
        b.lut_gemv(y, a.activated, p.weight(ids.fc2));
        b.add(y, y, a.middle);
    }

    /// Turns `d` from the gradient of the block's output into that of its input `x`, after [`Block::activate`].
    pub fn backward<B: Backend>(
        &self,
        b: &mut B,
        p: &Parameters,
        sink: &mut impl GradientSink<B>,
        d: Span<f32>,
        x: Span<f32>,
        g: &BlockGradients,
    ) {
        interrupt::check();
        let (ids, a, rows, dim) = (&self.ids, &self.kept, self.shape.tokens(), self.shape.dim());
        let (narrow, wide) = (g.narrow.slice(0, rows * dim), g.wide.slice(0, a.hidden.len()));
        sink.matrix(b, ids.fc2, d, a.activated, rows, Part::WHOLE);
        b.linear_backward_input(wide, d, p.weight(ids.fc2), rows, false);
        b.gelu_backward(wide, wide, a.hidden);
        match self.convolution() {
            None => {
                sink.matrix(b, ids.fc1, wide, a.norm2.y, rows, Part::WHOLE);
                b.linear_backward_input(narrow, wide, p.weight(ids.fc1), rows, false);
            }
            Some(shape) => {
                sink.convolution(b, ids.fc1, wide, a.norm2.y, shape);
                b.conv1d_backward_input(narrow, wide, p.weight(ids.fc1), shape, false);
            }
        }
        norm_backward(b, p, sink, &ids.norm2, &a.norm2, d, narrow, a.middle, dim);

        sink.matrix(b, ids.o, d, a.attended, rows, Part::WHOLE);
        b.linear_backward_input(narrow, d, p.weight(ids.o), rows, false);
        if a.overlaid {
            self.project(b, p);
        }
        let len = rows * dim;
        let [dq, dk, dv] = [0, 1, 2].map(|i| g.wide.slice(i * len, len));
        b.attention_backward(dq, dk, dv, narrow, a.attended, a.lse, a.q, a.k, a.v, self.shape);
        for (id, d_projection, accumulate) in [(ids.q, dq, false), (ids.k, dk, true), (ids.v, dv, true)] {
            sink.matrix(b, id, d_projection, a.norm1.y, rows, Part::WHOLE);
            b.linear_backward_input(narrow, d_projection, p.weight(id), rows, accumulate);
        }
        norm_backward(b, p, sink, &ids.norm1, &a.norm1, d, narrow, x, dim);
    }
}

/// Adds the gradient of a layer norm's input to `dx`, and its parameters' to the sink.
#[expect(clippy::too_many_arguments, reason = "an op names all its operands")]
pub fn norm_backward<B: Backend>(
    b: &mut B,
    p: &Parameters,
    sink: &impl GradientSink<B>,
    ids: &Norm,
    kept: &NormActivations,
    dx: Span<f32>,
    dy: Span<f32>,
    x: Span<f32>,
    dim: usize,
) {
    b.layer_norm_backward(dx, sink.vector(ids.gamma), sink.vector(ids.beta), dy, x, kept.mean, kept.rstd, p.vector(ids.gamma), dim);
}
