//! The model over one sequence, a token at a time, with the keys and values of earlier tokens in a cache.

use super::layers::{GptIds, attention, block_shape};
use crate::backend::{AttentionShape, Backend, Sequences};
use crate::config::GptConfig;
use crate::memory::{Act, Kind, Plan, Span};
use crate::models::text::TextDecoder;
use crate::nn::block::BlockActivations;
use crate::nn::norm::NormActivations;
use crate::nn::stack::StackActivations;
use crate::nn::{Parameters, Purpose, Rows};

/// A GPT that writes text: a prompt at once, then token by token.
#[derive(Clone, Debug)]
pub struct Decoder {
    ids: GptIds,
    /// Blocks share all activations but keys and values, `[context, dim]` each. The norm has one row.
    kept: StackActivations,
    attention: AttentionShape,
    inputs: Span<u32>,
    logits: Span<f32>,
}

impl Decoder {
    /// Reserves activations and the cache for one sequence of the model's context.
    pub fn plan(ids: GptIds, config: &GptConfig, plan: &mut Plan) -> Self {
        let (context, dim) = (config.context, config.dim);
        let inputs = plan.span(Kind::Io, "decoder.inputs", context);
        let shared = BlockActivations::plan(plan, Act::F32, "decoder.block", &block_shape(config), context);
        let blocks = (0..config.layers).map(|i| if i == 0 { shared } else { shared.with_own_cache(plan, &format!("decoder.blocks.{i}")) });
        let blocks = blocks.collect();
        let streams = StackActivations::plan_streams(plan, "decoder.", config.layers, context * dim, Purpose::Evaluate);
        let norm = NormActivations::plan(plan, Act::F32, "decoder.norm", 1, dim);
        let logits = plan.span(Kind::Activation, "decoder.logits", config.tokenizer.vocab_size());
        let attention = attention(config, Sequences::Equal { count: 1, len: context });
        Self { ids, kept: StackActivations { blocks, streams, norm, dim }, attention, inputs, logits }
    }

    /// Logits of the token after the last of these, whose places are `rows`.
    fn next_logits<B: Backend>(&self, b: &mut B, p: &Parameters, tokens: &[u32], rows: Rows) -> Span<f32> {
        let (ids, kept, n) = (&self.ids, &self.kept, tokens.len());
        let inputs = self.inputs.slice(0, n);
        b.upload(inputs, tokens);
        ids.embedding.forward(b, p, kept.input(n), inputs, rows);
        let last = ids.stack.forward_blocks(b, p, kept, rows).slice((n - 1) * kept.dim, kept.dim);
        ids.stack.norm.forward(b, p, &kept.norm, last);
        ids.head.forward_row(b, p, self.logits, kept.norm.y.f32());
        self.logits
    }
}

impl TextDecoder for Decoder {
    fn context(&self) -> usize {
        self.inputs.len()
    }

    fn vocab(&self) -> usize {
        self.logits.len()
    }

    fn attention(&self) -> AttentionShape {
        self.attention
    }

    fn prefill<B: Backend>(&self, b: &mut B, p: &Parameters, tokens: &[u32]) -> Span<f32> {
        self.next_logits(b, p, tokens, Rows::Of(Sequences::Equal { count: 1, len: tokens.len() }))
    }

    fn decode<B: Backend>(&self, b: &mut B, p: &Parameters, token: u32, position: usize) -> Span<f32> {
        self.next_logits(b, p, &[token], Rows::Next(position))
    }
}
