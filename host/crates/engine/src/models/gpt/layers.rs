//! The layers of a GPT.

use primal_device::grid::Grid;

use crate::backend::{AttentionShape, Sequences};
use crate::config::GptConfig;
use crate::nn::Block;
use crate::nn::attention::Heads;
use crate::nn::block::BlockShape;
use crate::nn::embedding::TokenEmbedding;
use crate::nn::linear::{LinearLayer, start_sigma};
use crate::nn::norm::Norm;
use crate::nn::parameters::Specs;
use crate::nn::stack::Stack;

/// The layers of the model.
#[derive(Clone, Debug)]
pub struct GptIds {
    pub(super) embedding: TokenEmbedding,
    pub(super) stack: Stack,
    /// `[vocab, dim]`.
    pub(super) head: LinearLayer,
}

impl GptIds {
    /// Names all parameters; `float` asks for the float twin.
    pub fn new(config: &GptConfig, float: bool) -> (Self, Specs) {
        let mut specs = Specs::new(config.scales);
        let (dim, vocab) = (config.dim, config.tokenizer.vocab_size());
        let residual = 1.0 / (2.0 * config.layers as f32).sqrt();
        let on = |grid: &'static Grid| (!float).then_some(grid);
        let embedding = TokenEmbedding::new(&mut specs, "embedding", vocab, config.context, dim);
        let blocks = (0..config.layers).map(|i| {
            let last = i + 1 == config.layers;
            let grid = if last { config.last_grid() } else { config.grid };
            Block::new(&mut specs, &format!("blocks.{i}"), &block_shape(config), on(grid), residual)
        });
        let blocks = blocks.collect();
        let norm = Norm::new(&mut specs, "norm", dim);
        let head = LinearLayer::new(&mut specs, "head", [vocab, dim], on(config.grid), start_sigma(dim));
        (Self { embedding, stack: Stack { blocks, norm }, head }, specs)
    }
}

/// GPT-2's blocks: causal, with an MLP of four times the width.
pub(super) fn block_shape(config: &GptConfig) -> BlockShape {
    BlockShape { dim: config.dim, heads: Heads { count: config.heads, causal: true }, hidden: 4 * config.dim, kernel: 1 }
}

/// The attention of a block.
pub(super) fn attention(config: &GptConfig, sequences: Sequences) -> AttentionShape {
    AttentionShape { sequences, heads: config.heads, kv_heads: config.heads, head_dim: config.dim / config.heads, causal: true }
}
