//! A GPT-2-like decoder: token and position embedding, blocks, a final norm, a head; every linear layer on the grid.

mod decoder;
pub mod sample;

use primal_device::grid::GridId;

pub use decoder::Decoder;

use crate::backend::{AttentionShape, Backend, Sequences};
use crate::config::ModelConfig;
use crate::interrupt;
use crate::memory::{Kind, Plan, Span};
use crate::nn::block::{Block, BlockActivations, BlockGradients, BlockIds, BlockWidths, Norm, NormActivations, norm_backward};
use crate::nn::parameters::{Init, Specs};
use crate::nn::{GradientSink, MatrixId, Parameters, Part, Purpose, VectorId};

/// Deviation of embeddings at the start; 0.02 and 0.5 learned more slowly at width 96.
const EMBEDDING_SIGMA: f32 = 0.1;
/// Rows of logits begin on so many values: products load and store them as vectors, whatever the vocabulary.
const LOGIT_STRIDE: usize = 64;

/// The parameters of the model.
#[derive(Clone, Debug)]
pub struct GptIds {
    /// Token embedding, `[vocab, dim]`.
    pub tokens: VectorId,
    /// Position embedding, `[context, dim]`.
    pub positions: VectorId,
    /// The blocks.
    pub blocks: Vec<BlockIds>,
    /// The final norm.
    pub norm: Norm,
    /// `[vocab, dim]`.
    pub head: MatrixId,
}

impl GptIds {
    /// Names all parameters; `float` asks for the float twin.
    pub fn new(config: &ModelConfig, float: bool) -> (Self, Specs) {
        let mut specs = Specs::default();
        let (dim, vocab) = (config.dim, config.tokenizer.vocab_size());
        let sigma = 0.55 / (dim as f32).sqrt();
        let residual = 1.0 / (2.0 * config.layers as f32).sqrt();
        let on = |grid: GridId| (!float).then_some(grid);
        let tokens = specs.vector("embedding.tokens".into(), &[vocab, dim], Init::Normal(EMBEDDING_SIGMA));
        let positions = specs.vector("embedding.positions".into(), &[config.context, dim], Init::Normal(EMBEDDING_SIGMA));
        let blocks = (0..config.layers).map(|i| {
            let last = i + 1 == config.layers;
            let grid = if last { config.last_grid() } else { config.grid };
            BlockIds::new(&mut specs, &format!("blocks.{i}"), BlockWidths::gpt(dim), on(grid), sigma, residual)
        });
        let blocks = blocks.collect();
        let norm = Norm::new(&mut specs, "norm", dim);
        let head = specs.matrix("head".into(), [vocab, dim], on(config.grid), sigma);
        (Self { tokens, positions, blocks, norm, head }, specs)
    }
}

/// The model over its activations, for a batch of `[batch, seq]` tokens.
#[derive(Clone, Debug)]
pub struct Gpt {
    /// Its parameters.
    pub ids: GptIds,
    blocks: Vec<Block>,
    recompute: bool,
    shape: AttentionShape,
    vocab: usize,
    /// From row to row of logits.
    logit_stride: usize,
    /// Rows of logits held at a time.
    logit_rows: usize,
    /// Token ids, `[batch · seq]`.
    pub inputs: Span<u32>,
    /// The places of tokens by id (see [`by_id`](crate::backend::by_id)); for training.
    pub order: Span<u32>,
    /// The token that follows each, or `u32::MAX` where none counts.
    pub targets: Span<u32>,
    /// Each token's loss in nats.
    pub losses: Span<f32>,
    streams: Vec<Span<f32>>,
    normed: NormActivations,
    logits: Span<f32>,
    backward: Option<Backward>,
}

#[derive(Clone, Copy, Debug)]
struct Backward {
    stream: Span<f32>,
    block: BlockGradients,
}

impl Gpt {
    /// Reserves activations for `[batch, seq]` tokens, and logits for so many of them at a time.
    pub fn plan(ids: GptIds, config: &ModelConfig, [batch, seq]: [usize; 2], logit_rows: usize, purpose: Purpose, plan: &mut Plan) -> Self {
        let shape = AttentionShape {
            sequences: Sequences::Equal { count: batch, len: seq },
            heads: config.heads,
            head_dim: config.dim / config.heads,
            causal: true,
        };
        let (tokens, dim, vocab) = (shape.tokens(), config.dim, config.tokenizer.vocab_size());
        let inputs = plan.span(Kind::Io, "inputs", tokens);
        let order = plan.span(Kind::Io, "order", if purpose == Purpose::Evaluate { 0 } else { tokens });
        let targets = plan.span(Kind::Io, "targets", tokens);
        let losses = plan.span(Kind::Activation, "losses", tokens);
        let keep_all = purpose == Purpose::Train;
        let hidden = BlockWidths::gpt(dim).hidden;
        let shared = (!keep_all).then(|| BlockActivations::plan_overlaid(plan, "block", shape, hidden));
        let blocks = ids.blocks.iter().enumerate().map(|(i, &ids)| {
            let kept = shared.unwrap_or_else(|| BlockActivations::plan(plan, &format!("blocks.{i}"), shape, hidden));
            Block { ids, kept, shape }
        });
        let blocks: Vec<Block> = blocks.collect();
        // Evaluation alternates between two streams; training keeps the input of every block.
        let streams = if purpose == Purpose::Evaluate { 2.min(config.layers + 1) } else { config.layers + 1 };
        let streams = (0..streams).map(|i| plan.span(Kind::Activation, format!("stream.{i}"), tokens * dim)).collect();
        let normed = match shared {
            Some(block) => NormActivations::plan_in(plan, "norm", block.normed(), tokens),
            None => NormActivations::plan(plan, "norm", tokens, dim),
        };
        let (logit_rows, logit_stride) = (logit_rows.min(tokens), vocab.next_multiple_of(LOGIT_STRIDE));
        let logits = plan.span(Kind::Activation, "logits", logit_rows * logit_stride);
        let backward = (purpose != Purpose::Evaluate).then(|| Backward {
            stream: plan.span(Kind::Activation, "gradient.stream", tokens * dim),
            block: shared.map_or_else(|| BlockGradients::plan(plan, tokens, dim, hidden), |kept| BlockGradients::within(&kept)),
        });
        let recompute = purpose == Purpose::TrainRecomputing;
        Self {
            ids,
            blocks,
            recompute,
            shape,
            vocab,
            logit_stride,
            logit_rows,
            inputs,
            order,
            targets,
            losses,
            streams,
            normed,
            logits,
            backward,
        }
    }

    /// Its attention.
    pub fn attention(&self) -> AttentionShape {
        self.shape
    }

    /// Tokens that it knows.
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// Tokens of a batch.
    pub fn tokens(&self) -> usize {
        self.shape.tokens()
    }

    fn stream(&self, layer: usize) -> Span<f32> {
        self.streams[layer % self.streams.len()]
    }

    /// The first activation that is not finite after a forward pass for training, by name; `sum` is one value of scratch.
    pub fn not_finite<B: Backend>(&self, b: &mut B, sum: Span<f32>) -> Option<String> {
        let mut value = [0.0];
        let at = self.streams.iter().position(|&stream| {
            b.sum(sum, stream);
            b.download(sum, &mut value);
            !value[0].is_finite()
        })?;
        Some(if at == 0 { "the embedding of the batch".into() } else { format!("the output of blocks.{}", at - 1) })
    }

    fn forward<B: Backend>(&self, b: &mut B, p: &Parameters) {
        let dim = self.shape.dim();
        b.embedding(
            self.stream(0),
            p.vector(self.ids.tokens),
            p.vector(self.ids.positions),
            self.inputs,
            self.shape.sequences.longest(),
            dim,
        );
        for (i, block) in self.blocks.iter().enumerate() {
            block.forward(b, p, self.stream(i + 1), self.stream(i));
        }
        let norm = &self.ids.norm;
        let (kept, last) = (&self.normed, self.stream(self.blocks.len()));
        b.layer_norm(kept.y, kept.mean, kept.rstd, last, p.vector(norm.gamma), p.vector(norm.beta), dim);
    }

    /// The loss of a chunk of rows; its logits become their gradient.
    fn chunk_loss<B: Backend>(&self, b: &mut B, p: &Parameters, start: usize, rows: usize, gradient_scale: f32) -> (Span<f32>, Span<f32>) {
        interrupt::check();
        let dim = self.shape.dim();
        let x = self.normed.y.slice(start * dim, rows * dim);
        let logits = self.logits.slice(0, rows * self.logit_stride);
        b.linear(logits, x, p.weight(self.ids.head), rows);
        b.cross_entropy(logits, self.losses.slice(start, rows), self.targets.slice(start, rows), self.vocab, gradient_scale);
        (x, logits)
    }

    fn chunks(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (tokens, rows) = (self.tokens(), self.logit_rows);
        (0..tokens).step_by(rows).map(move |start| (start, rows.min(tokens - start)))
    }

    /// Losses of the batch in [`Gpt::inputs`] and [`Gpt::targets`].
    pub fn evaluate<B: Backend>(&self, b: &mut B, p: &Parameters) {
        self.forward(b, p);
        for (start, rows) in self.chunks() {
            self.chunk_loss(b, p, start, rows, 1.0);
        }
    }

    /// Losses, and the gradients of `gradient_scale · Σ losses` into the sink.
    ///
    /// # Panics
    /// If the plan was made for evaluation.
    pub fn train<B: Backend>(&self, b: &mut B, p: &Parameters, sink: &mut impl GradientSink<B>, gradient_scale: f32) {
        let g = self.backward.as_ref().expect("a plan for training");
        let (dim, tokens) = (self.shape.dim(), self.tokens());
        self.forward(b, p);
        for (start, rows) in self.chunks() {
            let (x, d_logits) = self.chunk_loss(b, p, start, rows, gradient_scale);
            sink.matrix(b, self.ids.head, d_logits, x, rows, Part { first: start == 0, last: start + rows == tokens });
            // The gradient of these rows takes their place.
            b.linear_backward_input(x, d_logits, p.weight(self.ids.head), rows, false);
        }
        b.zero(g.stream);
        norm_backward(b, p, sink, &self.ids.norm, &self.normed, g.stream, self.normed.y, self.stream(self.blocks.len()), dim);
        for (i, block) in self.blocks.iter().enumerate().rev() {
            if self.recompute {
                block.activate(b, p, self.stream(i));
            }
            block.backward(b, p, sink, g.stream, self.stream(i), &g.block);
        }
        let (d_tokens, d_positions) = (sink.vector(self.ids.tokens), sink.vector(self.ids.positions));
        b.embedding_backward(d_tokens, d_positions, g.stream, self.inputs, self.order, self.shape.sequences.longest(), dim);
    }
}
