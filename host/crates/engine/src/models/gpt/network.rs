//! A GPT over batches: losses, and their gradients.

use super::decoder::Decoder;
use super::layers::{GptIds, attention, block_shape};
use crate::backend::{AttentionShape, Backend, Sequences};
use crate::config::GptConfig;
use crate::interrupt;
use crate::memory::{Act, Kind, Plan, Span};
use crate::models::text::{TextBatch, TextModel};
use crate::nn::block::{BlockActivations, BlockGradients};
use crate::nn::norm::NormActivations;
use crate::nn::parameters::Specs;
use crate::nn::stack::StackActivations;
use crate::nn::{Backward, GradientPart, GradientSink, Parameters, Purpose, Rows};
use crate::ops::CrossEntropy;

/// Rows of logits begin on so many values: products load and store them as vectors, whatever the vocabulary.
const LOGIT_STRIDE: usize = 64;

/// The model over its activations, for a batch of `[batch, seq]` tokens.
#[derive(Clone, Debug)]
pub struct Gpt {
    ids: GptIds,
    kept: StackActivations,
    shape: AttentionShape,
    vocab: usize,
    /// From row to row of logits.
    logit_stride: usize,
    /// Rows of logits held at a time.
    logit_rows: usize,
    batch: TextBatch,
    logits: Span<f32>,
    gradients: Option<Gradients>,
}

/// Gradients of activations.
#[derive(Clone, Copy, Debug)]
struct Gradients {
    stream: Span<f32>,
    block: BlockGradients,
}

impl TextModel for Gpt {
    type Config = GptConfig;
    type Layers = GptIds;
    type Decoder = Decoder;

    fn layers(config: &GptConfig, float: bool) -> (GptIds, Specs) {
        GptIds::new(config, float)
    }

    fn plan_decoder(layers: GptIds, config: &GptConfig, plan: &mut Plan) -> Decoder {
        Decoder::plan(layers, config, plan)
    }

    fn plan(ids: GptIds, config: &GptConfig, [batch, seq]: [usize; 2], logit_rows: usize, purpose: Purpose, plan: &mut Plan) -> Self {
        let shape = attention(config, Sequences::Equal { count: batch, len: seq });
        let (tokens, dim, vocab) = (shape.tokens(), config.dim, config.tokenizer.vocab_size());
        let inputs = plan.span(Kind::Io, "inputs", tokens);
        let order = plan.span(Kind::Io, "order", if purpose == Purpose::Evaluate { 0 } else { tokens });
        let targets = plan.span(Kind::Io, "targets", tokens);
        let losses = plan.span(Kind::Activation, "losses", tokens);
        let batch = TextBatch { inputs, order, targets, losses };
        let block = block_shape(config);
        let act = purpose.act();
        let shared = (purpose != Purpose::Train(act)).then(|| BlockActivations::plan_overlaid(plan, act, "block", &block, tokens));
        let blocks =
            (0..config.layers).map(|i| shared.unwrap_or_else(|| BlockActivations::plan(plan, act, &format!("blocks.{i}"), &block, tokens)));
        let blocks = blocks.collect();
        let streams = StackActivations::plan_streams(plan, "", config.layers, tokens * dim, purpose);
        let norm = match shared.and_then(|block| block.normed()) {
            Some(normed) => NormActivations::plan_in(plan, "norm", normed.into(), tokens),
            None => NormActivations::plan(plan, Act::F32, "norm", tokens, dim),
        };
        let kept = StackActivations { blocks, streams, norm, dim };
        let (logit_rows, logit_stride) = (logit_rows.min(tokens), vocab.next_multiple_of(LOGIT_STRIDE));
        let logits = plan.span(Kind::Activation, "logits", logit_rows * logit_stride);
        let gradients = (purpose != Purpose::Evaluate).then(|| Gradients {
            stream: plan.span(Kind::Activation, "gradient.stream", tokens * dim),
            block: shared.as_ref().and_then(BlockGradients::within).unwrap_or_else(|| BlockGradients::plan(plan, &block, tokens)),
        });
        Self { ids, kept, shape, vocab, logit_stride, logit_rows, batch, logits, gradients }
    }

    fn batch(&self) -> &TextBatch {
        &self.batch
    }

    fn attention(&self) -> AttentionShape {
        self.shape
    }

    fn vocab(&self) -> usize {
        self.vocab
    }

    fn not_finite<B: Backend>(&self, b: &mut B, sum: Span<f32>) -> Option<String> {
        let at = self.kept.not_finite(b, self.tokens(), sum)?;
        Some(if at == 0 { "the embedding of the batch".into() } else { format!("the output of blocks.{}", at - 1) })
    }

    fn evaluate<B: Backend>(&self, b: &mut B, p: &Parameters) {
        self.forward(b, p);
        for (start, rows) in self.chunks() {
            self.chunk_loss(b, p, start, rows, 1.0);
        }
    }

    fn train<B: Backend>(&self, b: &mut B, p: &Parameters, sink: &mut impl GradientSink<B>, gradient_scale: f32) {
        let g = self.gradients.as_ref().expect("a plan for training");
        let (ids, sequences, tokens) = (&self.ids, self.shape.sequences, self.tokens());
        self.forward(b, p);
        let pass = &mut Backward { b, p, sink };
        for (start, rows) in self.chunks() {
            let (x, d_logits) = self.chunk_loss(pass.b, p, start, rows, gradient_scale);
            ids.head.backward_weight(pass, d_logits, x, rows, GradientPart { first: start == 0, last: start + rows == tokens });
            // The gradient of these rows takes their place.
            ids.head.backward_input(pass, x, d_logits, rows, false);
        }
        ids.stack.backward(pass, &self.kept, g.stream, self.kept.output(tokens), sequences, &g.block);
        ids.embedding.backward(pass, g.stream, self.batch.inputs, self.batch.order, sequences);
    }
}

impl Gpt {
    fn tokens(&self) -> usize {
        self.shape.tokens()
    }

    fn forward<B: Backend>(&self, b: &mut B, p: &Parameters) {
        let rows = Rows::Of(self.shape.sequences);
        self.ids.embedding.forward(b, p, self.kept.input(rows.count()), self.batch.inputs, rows);
        self.ids.stack.forward(b, p, &self.kept, rows);
    }

    /// The loss of a chunk of rows; its logits become their gradient.
    fn chunk_loss<B: Backend>(&self, b: &mut B, p: &Parameters, start: usize, rows: usize, gradient_scale: f32) -> (Span<f32>, Span<f32>) {
        interrupt::check();
        let dim = self.shape.dim();
        let x = self.kept.output(self.tokens()).slice(start * dim, rows * dim);
        let logits = self.logits.slice(0, rows * self.logit_stride);
        self.ids.head.forward_rows(b, p, logits, x, rows);
        b.run(CrossEntropy {
            logits,
            losses: self.batch.losses.slice(start, rows),
            targets: self.batch.targets.slice(start, rows),
            vocab: self.vocab,
            gradient_scale,
        });
        (x, logits)
    }

    fn chunks(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (tokens, rows) = (self.tokens(), self.logit_rows);
        (0..tokens).step_by(rows).map(move |start| (start, rows.min(tokens - start)))
    }
}
