//! A decoder over batches: losses, and their gradients.

use std::marker::PhantomData;

use super::decoder::Decoder;
use super::layers::{CausalLayers, CausalTable};
use crate::backend::{AttentionShape, Backend, Sequences};
use crate::interrupt;
use crate::memory::{Act, Kind, Plan, Span};
use crate::models::text::{DecoderShape, TextBatch, TextModel};
use crate::nn::block::{BlockActivations, BlockGradients, BlockShape};
use crate::nn::norm::NormActivations;
use crate::nn::parameters::Specs;
use crate::nn::rotary::RotaryPlace;
use crate::nn::stack::StackActivations;
use crate::nn::{Backward, GradientPart, GradientSink, Parameters, Purpose, Rows};
use crate::ops::CrossEntropy;

/// Rows of logits begin on so many values: products load and store them as vectors, whatever the vocabulary.
const LOGIT_STRIDE: usize = 64;
/// Tokens of a document, at least and on average: devices bound how many sequences a batch may have.
const DOCUMENT: usize = 8;

/// The model of a configuration `C` over its activations, for a batch of `[batch, seq]` tokens.
#[derive(Clone, Debug)]
pub struct Causal<C> {
    layers: CausalLayers,
    kept: StackActivations,
    shape: AttentionShape,
    rotary: Option<RotaryPlace>,
    /// From row to row of logits.
    logit_stride: usize,
    /// Rows of logits held at a time.
    logit_rows: usize,
    batch: TextBatch,
    logits: Span<f32>,
    gradients: Option<Gradients>,
    config: PhantomData<fn() -> C>,
}

/// Gradients of activations.
#[derive(Clone, Copy, Debug)]
struct Gradients {
    stream: Span<f32>,
    block: BlockGradients,
}

impl<C: CausalTable> TextModel for Causal<C> {
    type Config = C;
    type Layers = CausalLayers;
    type Decoder = Decoder;

    fn layers(config: &C, float: bool) -> (CausalLayers, Specs) {
        CausalLayers::new(config, float)
    }

    fn plan_decoder(layers: CausalLayers, shape: DecoderShape, plan: &mut Plan) -> Decoder {
        Decoder::plan(layers, shape, plan)
    }

    fn plan(layers: CausalLayers, [batch, seq]: [usize; 2], logit_rows: usize, purpose: Purpose, plan: &mut Plan) -> Self {
        let shape = layers.attention(Sequences::Equal { count: batch, len: seq });
        let (model, tokens, vocab) = (&layers.shape, shape.tokens(), layers.vocab);
        let dim = model.block.dim;
        let inputs = plan.span(Kind::Io, "inputs", tokens);
        let order = plan.span(Kind::Io, "order", if purpose == Purpose::Evaluate { 0 } else { tokens });
        let targets = plan.span(Kind::Io, "targets", tokens);
        let offsets = plan.span(Kind::Io, "offsets", tokens.div_ceil(DOCUMENT) + 1);
        let positions = plan.span(Kind::Io, "positions", tokens);
        let losses = plan.span(Kind::Activation, "losses", tokens);
        let batch = TextBatch { inputs, order, targets, offsets, positions, losses };
        let rotary = model.rotary.map(|rotary| RotaryPlace::plan(plan, "rotary", &rotary, seq, tokens));
        let block = BlockShape { rotary, ..model.block };
        let act = purpose.act();
        let shared = (purpose != Purpose::Train(act)).then(|| BlockActivations::plan_shared(plan, act, "block", &block, tokens));
        let blocks =
            (0..model.layers).map(|i| shared.unwrap_or_else(|| BlockActivations::plan(plan, act, &format!("blocks.{i}"), &block, tokens)));
        let blocks = blocks.collect();
        let streams = StackActivations::plan_streams(plan, "", model.layers, tokens * dim, purpose);
        let norm = match shared.and_then(|block| block.normed()) {
            Some(normed) => NormActivations::plan_in(plan, "norm", block.norm, normed.into(), tokens),
            None => NormActivations::plan(plan, Act::F32, "norm", block.norm, tokens, dim),
        };
        let kept = StackActivations { blocks, streams, norm, dim };
        let (logit_rows, logit_stride) = (logit_rows.min(tokens), vocab.next_multiple_of(LOGIT_STRIDE));
        let logits = plan.span(Kind::Activation, "logits", logit_rows * logit_stride);
        let gradients = (purpose != Purpose::Evaluate).then(|| Gradients {
            stream: plan.span(Kind::Activation, "gradient.stream", tokens * dim),
            block: shared
                .as_ref()
                .and_then(|kept| BlockGradients::within(kept, &block))
                .unwrap_or_else(|| BlockGradients::plan(plan, &block, tokens)),
        });
        Self { kept, shape, rotary, logit_stride, logit_rows, batch, logits, gradients, layers, config: PhantomData }
    }

    fn batch(&self) -> &TextBatch {
        &self.batch
    }

    fn attention(&self) -> AttentionShape {
        self.shape
    }

    fn vocab(&self) -> usize {
        self.layers.vocab
    }

    fn prepare<B: Backend>(&self, b: &mut B) {
        if let (Some(place), Some(rotary)) = (&self.rotary, &self.layers.shape.rotary) {
            place.fill(b, rotary, self.shape.sequences.longest());
        }
    }

    fn not_finite<B: Backend>(&self, b: &mut B, sequences: Sequences, sum: Span<f32>) -> Option<String> {
        let at = self.kept.not_finite(b, sequences.rows(), sum)?;
        Some(CausalLayers::stream_name(at))
    }

    fn evaluate<B: Backend>(&self, b: &mut B, p: &Parameters, sequences: Sequences) {
        self.evaluate_telling(b, p, sequences, &mut |_| ());
    }

    fn evaluate_telling<B: Backend>(&self, b: &mut B, p: &Parameters, sequences: Sequences, done: &mut dyn FnMut(usize)) {
        self.forward(b, p, sequences, done);
        for (start, rows) in self.chunks(sequences) {
            self.chunk_loss(b, p, sequences, start, rows, 1.0);
        }
    }

    fn train<B: Backend>(&self, b: &mut B, p: &Parameters, sink: &mut impl GradientSink<B>, sequences: Sequences, gradient_scale: f32) {
        let g = self.gradients.as_ref().expect("a plan for training");
        let (layers, tokens) = (&self.layers, sequences.rows());
        self.forward(b, p, sequences, &mut |_| ());
        let pass = &mut Backward { b, p, sink };
        for (start, rows) in self.chunks(sequences) {
            let (x, d_logits) = self.chunk_loss(pass.b, p, sequences, start, rows, gradient_scale);
            layers.logits_backward(pass, x, d_logits, rows, GradientPart { first: start == 0, last: start + rows == tokens });
        }
        let (d_stream, ids) = (g.stream.slice(0, tokens * self.kept.dim), [self.batch.inputs, self.batch.order]);
        layers.stack.backward(pass, &self.kept, d_stream, self.kept.output(tokens), sequences, &g.block);
        let [inputs, order] = ids.map(|ids| ids.slice(0, tokens));
        layers.embedding.backward(pass, d_stream, inputs, order, sequences);
    }
}

impl<C> Causal<C> {
    fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, sequences: Sequences, done: &mut dyn FnMut(usize)) {
        let rows = Rows::Of(sequences);
        let inputs = self.batch.inputs.slice(0, rows.count());
        self.layers.embedding.forward(b, p, self.kept.input(rows.count()), inputs, rows);
        self.layers.stack.forward_telling(b, p, &self.kept, rows, done);
    }

    /// The loss of a chunk of rows; its logits become their gradient.
    fn chunk_loss<B: Backend>(
        &self,
        b: &mut B,
        p: &Parameters,
        sequences: Sequences,
        start: usize,
        rows: usize,
        gradient_scale: f32,
    ) -> (Span<f32>, Span<f32>) {
        interrupt::check();
        let dim = self.kept.dim;
        let x = self.kept.output(sequences.rows()).slice(start * dim, rows * dim);
        let logits = self.logits.slice(0, rows * self.logit_stride);
        self.layers.logits(b, p, logits, x, rows);
        b.run(CrossEntropy {
            logits,
            losses: self.batch.losses.slice(start, rows),
            targets: self.batch.targets.slice(start, rows),
            vocab: self.layers.vocab,
            gradient_scale,
        });
        (x, logits)
    }

    fn chunks(&self, sequences: Sequences) -> impl Iterator<Item = (usize, usize)> + use<C> {
        let (tokens, rows) = (sequences.rows(), self.logit_rows);
        (0..tokens).step_by(rows).map(move |start| (start, rows.min(tokens - start)))
    }
}
