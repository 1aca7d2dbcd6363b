//! The model over one sequence, some tokens after others, with the keys and values of the earlier ones in a cache.

use super::layers::{CausalLayers, last_row};
use crate::backend::{AttentionShape, Backend, Sequences};
use crate::memory::{Act, Activation, Kind, Plan, Span};
use crate::models::text::{DecoderShape, TextDecoder};
use crate::nn::block::{BlockActivations, BlockShape};
use crate::nn::norm::NormActivations;
use crate::nn::rotary::RotaryPlace;
use crate::nn::stack::StackActivations;
use crate::nn::{Parameters, Purpose, Rows};

/// Tokens that are read at a time, at most.
const CHUNK: usize = 256;
/// And at least, of wide models, whose activations of more would be large beside their weights.
const LEAST_CHUNK: usize = 32;
/// Values of activations, else at most: 4 MiB.
const VALUES: usize = 1 << 20;

/// Tokens that a model reads at a time.
fn chunk(block: &BlockShape) -> usize {
    // Streams, norms and what is attended to; the MLP.
    let row = 6 * block.dim.max(block.heads.shape(Sequences::one(1)).dim()) + 2 * block.hidden;
    (VALUES / row).clamp(LEAST_CHUNK, CHUNK) / LEAST_CHUNK * LEAST_CHUNK
}

/// A decoder that writes text.
#[derive(Clone, Debug)]
pub struct Decoder {
    layers: CausalLayers,
    /// Blocks share all activations but their caches. The norm has one row.
    kept: StackActivations,
    attention: AttentionShape,
    rotary: Option<RotaryPlace>,
    context: usize,
    inputs: Span<u32>,
    logits: Span<f32>,
}

impl Decoder {
    /// Reserves activations and the cache for one sequence.
    pub fn plan(layers: CausalLayers, shape: DecoderShape, plan: &mut Plan) -> Self {
        let DecoderShape { context, cache } = shape;
        let model = &layers.shape;
        let chunk = context.min(chunk(&model.block));
        let dim = model.block.dim;
        let inputs = plan.span(Kind::Io, "decoder.inputs", chunk);
        let rotary = model.rotary.map(|rotary| RotaryPlace::plan(plan, "decoder.rotary", &rotary, context, context));
        let block = BlockShape { rotary, ..model.block };
        let shared = BlockActivations::plan_forward(plan, "decoder.block", &block, chunk);
        let blocks = (0..model.layers).map(|i| shared.with_own_cache(plan, &format!("decoder.blocks.{i}"), context, cache));
        let blocks = blocks.collect();
        let streams = StackActivations::plan_streams(plan, "decoder.", model.layers, chunk * dim, Purpose::Evaluate);
        let norm = NormActivations::plan(plan, Act::F32, "decoder.norm", block.norm, 1, dim);
        let logits = plan.span(Kind::Activation, "decoder.logits", layers.vocab);
        let attention = layers.attention(Sequences::one(context));
        Self { kept: StackActivations { blocks, streams, norm, dim }, layers, attention, rotary, context, inputs, logits }
    }

    /// Reads as many tokens as there is room for; where the last block wrote its last row.
    fn read_chunk<B: Backend>(&self, b: &mut B, p: &Parameters, tokens: &[u32], past: usize) -> Activation {
        let (layers, kept, count) = (&self.layers, &self.kept, tokens.len());
        let inputs = self.inputs.slice(0, count);
        let rows = Rows::After { past, count };
        b.upload(inputs, tokens);
        layers.embedding.forward(b, p, kept.input(count), inputs, rows);
        last_row(layers.stack.forward_blocks(b, p, kept, rows), count, kept.dim)
    }
}

impl TextDecoder for Decoder {
    fn context(&self) -> usize {
        self.context
    }

    fn vocab(&self) -> usize {
        self.logits.len()
    }

    fn attention(&self) -> AttentionShape {
        self.attention
    }

    fn prepare<B: Backend>(&self, b: &mut B) {
        if let (Some(place), Some(rotary)) = (&self.rotary, &self.layers.shape.rotary) {
            place.fill(b, rotary, self.context);
        }
    }

    fn forget<B: Backend>(&self, b: &mut B, keep: usize, count: usize, past: usize) -> bool {
        if self.layers.shape.rotary.is_none_or(|rotary| rotary.attention_factor() != 1.0) {
            return false;
        }
        // Parts that do not overlap where they go.
        let most = self.inputs.len().min(count);
        for first in (keep + count..past).step_by(most.max(1)) {
            let rows = most.min(past - first);
            let back = self.inputs.slice(0, rows);
            b.upload(back, &vec![count as u32; rows]);
            for (block, kept) in self.layers.stack.blocks.iter().zip(&self.kept.blocks) {
                block.move_cache(b, kept, first, first - count, back);
            }
        }
        true
    }

    fn read<B: Backend>(&self, b: &mut B, p: &Parameters, tokens: &[u32], past: usize) -> Span<f32> {
        let (norm, mut last, most) = (&self.kept.norm, None, self.inputs.len());
        for (i, chunk) in tokens.chunks(most).enumerate() {
            last = Some(self.read_chunk(b, p, chunk, past + i * most));
        }
        self.layers.stack.norm.forward(b, p, norm, last.expect("a token"));
        self.layers.logits(b, p, self.logits, norm.y.f32(), 1);
        self.logits
    }
}
