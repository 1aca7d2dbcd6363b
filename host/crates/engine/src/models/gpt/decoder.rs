//! The model over one sequence, a token at a time, with the keys and values of earlier tokens in a cache.

use super::GptIds;
use crate::backend::{AttentionShape, Backend, Sequences};
use crate::config::ModelConfig;
use crate::memory::{Kind, Plan, Span};
use crate::nn::Parameters;
use crate::nn::block::{Block, BlockActivations, BlockWidths, NormActivations};

/// A GPT that writes text: a prompt at once, then token by token.
#[derive(Clone, Debug)]
pub struct Decoder {
    ids: GptIds,
    /// They share all activations but keys and values, `[context, dim]` each.
    blocks: Vec<Block>,
    context: usize,
    dim: usize,
    inputs: Span<u32>,
    streams: [Span<f32>; 2],
    normed: NormActivations,
    logits: Span<f32>,
}

impl Decoder {
    /// Reserves activations and the cache for one sequence of the model's context.
    pub fn plan(ids: GptIds, config: &ModelConfig, plan: &mut Plan) -> Self {
        let (context, dim) = (config.context, config.dim);
        let shape = AttentionShape {
            sequences: Sequences::Equal { count: 1, len: context },
            heads: config.heads,
            head_dim: dim / config.heads,
            causal: true,
        };
        let inputs = plan.span(Kind::Io, "decoder.inputs", context);
        let shared = BlockActivations::plan(plan, "decoder.block", shape, BlockWidths::gpt(dim).hidden);
        let blocks = ids.blocks.iter().enumerate().map(|(i, &ids)| {
            let kept = if i == 0 { shared } else { shared.with_own_cache(plan, &format!("decoder.blocks.{i}")) };
            Block { ids, kept, shape }
        });
        let blocks = blocks.collect();
        let streams = [0, 1].map(|i| plan.span(Kind::Activation, format!("decoder.stream.{i}"), context * dim));
        let normed = NormActivations::plan(plan, "decoder.norm", 1, dim);
        let logits = plan.span(Kind::Activation, "decoder.logits", config.tokenizer.vocab_size());
        Self { ids, blocks, context, dim, inputs, streams, normed, logits }
    }

    /// The most tokens that the cache holds.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Tokens that it knows.
    pub fn vocab(&self) -> usize {
        self.logits.len()
    }

    /// Starts a sequence with these tokens, at least one and at most the context; logits of the next, `[vocab]`.
    pub fn prefill<B: Backend>(&self, b: &mut B, p: &Parameters, tokens: &[u32]) -> Span<f32> {
        let (n, dim) = (tokens.len(), self.dim);
        let inputs = self.inputs.slice(0, n);
        let [mut x, mut y] = self.streams.map(|stream| stream.slice(0, n * dim));
        b.upload(inputs, tokens);
        b.embedding(x, p.vector(self.ids.tokens), p.vector(self.ids.positions), inputs, n, dim);
        for block in &self.blocks {
            block.over(Sequences::Equal { count: 1, len: n }).forward(b, p, y, x);
            (x, y) = (y, x);
        }
        self.next_logits(b, p, x.slice((n - 1) * dim, dim))
    }

    /// Goes on with a token after `position` cached ones, fewer than the context; logits of the next, `[vocab]`.
    pub fn decode<B: Backend>(&self, b: &mut B, p: &Parameters, token: u32, position: usize) -> Span<f32> {
        let dim = self.dim;
        let inputs = self.inputs.slice(0, 1);
        let [mut x, mut y] = self.streams.map(|stream| stream.slice(0, dim));
        b.upload(inputs, &[token]);
        b.embedding(x, p.vector(self.ids.tokens), p.vector(self.ids.positions).slice(position * dim, dim), inputs, 1, dim);
        for block in &self.blocks {
            block.decode(b, p, y, x, position);
            (x, y) = (y, x);
        }
        self.next_logits(b, p, x)
    }

    fn next_logits<B: Backend>(&self, b: &mut B, p: &Parameters, x: Span<f32>) -> Span<f32> {
        let (norm, kept) = (&self.ids.norm, &self.normed);
        b.layer_norm(kept.y, kept.mean, kept.rstd, x, p.vector(norm.gamma), p.vector(norm.beta), self.dim);
        b.lut_gemv(self.logits, kept.y, p.weight(self.ids.head));
        self.logits
    }
}
