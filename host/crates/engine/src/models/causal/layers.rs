//! The layers of a decoder.

use primal_device::grid::Grid;

use crate::backend::{AttentionShape, Backend, Sequences};
use crate::config::TextTable;
use crate::memory::{Activation, Span};
use crate::nn::block::BlockShape;
use crate::nn::embedding::{Embeddings, TokenEmbedding};
use crate::nn::linear::{LinearLayer, start_sigma};
use crate::nn::norm::Norm;
use crate::nn::parameters::Specs;
use crate::nn::rotary::Rotary;
use crate::nn::stack::Stack;
use crate::nn::{Backward, Block, GradientPart, GradientSink, Parameters};

/// What a decoder is built of.
#[derive(Clone, Copy, Debug)]
pub struct CausalShape {
    /// Blocks.
    pub layers: usize,
    /// Each of them, without places for angles.
    pub block: BlockShape,
    /// Angles of positions; without them, positions have embeddings.
    pub rotary: Option<Rotary>,
    /// Whether the head is the table of embeddings.
    pub tied: bool,
    /// How the table of embeddings is kept.
    pub embeddings: Embeddings,
    /// The grids of all linear layers but those of the last block, and of those.
    pub grids: [&'static Grid; 2],
}

/// The `[model]` table of a decoder.
pub trait CausalTable: TextTable {
    /// What the model is built of.
    fn shape(&self) -> CausalShape;
}

/// The name of a head that is no table of embeddings.
pub const HEAD: &str = "head";

/// The layers of the model.
#[derive(Clone, Debug)]
pub struct CausalLayers {
    pub(super) shape: CausalShape,
    pub(super) embedding: TokenEmbedding,
    pub(super) stack: Stack,
    pub(super) vocab: usize,
    /// `[vocab, dim]`; `None` where it is the table of embeddings.
    head: Option<LinearLayer>,
}

impl CausalLayers {
    /// Names all parameters; `float` asks for the float twin.
    pub fn new(config: &impl CausalTable, float: bool) -> (Self, Specs) {
        let mut specs = Specs::new(config.scales());
        let shape = config.shape();
        let (dim, vocab) = (shape.block.dim, config.vocab());
        let residual = 1.0 / (2.0 * shape.layers as f32).sqrt();
        let [grid, last_grid] = shape.grids.map(|grid| (!float).then_some(grid));
        let positions = shape.rotary.is_none().then(|| config.context());
        let embedding = TokenEmbedding::new(&mut specs, [vocab, dim], positions, shape.embeddings, grid, shape.tied);
        let blocks = (0..shape.layers).map(|i| {
            let grid = if i + 1 == shape.layers { last_grid } else { grid };
            Block::new(&mut specs, &format!("blocks.{i}"), &shape.block, grid, residual)
        });
        let blocks = blocks.collect();
        let norm = Norm::new(&mut specs, "norm", shape.block.norm, dim);
        let head = (!shape.tied).then(|| LinearLayer::new(&mut specs, HEAD, [vocab, dim], grid, start_sigma(dim)));
        (Self { shape, embedding, stack: Stack { blocks, norm }, vocab, head }, specs)
    }

    /// The attention of a block.
    pub(super) fn attention(&self, sequences: Sequences) -> AttentionShape {
        self.shape.block.heads.shape(sequences)
    }

    /// Logits of so many rows of x, which may be padded.
    pub(super) fn logits<B: Backend>(&self, b: &mut B, p: &Parameters, logits: Span<f32>, x: Span<f32>, rows: usize) {
        match (&self.head, rows) {
            (Some(head), 1) if logits.len() == self.vocab => head.forward_row(b, p, logits, x),
            (Some(head), _) => head.forward_rows(b, p, logits, x, rows),
            (None, _) => self.embedding.project(b, p, logits, x, rows),
        }
    }

    /// Gives the gradient of the head's weight to the sink, and writes that of x in its place.
    pub(super) fn logits_backward<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        x: Span<f32>,
        d_logits: Span<f32>,
        rows: usize,
        part: GradientPart,
    ) {
        match &self.head {
            Some(head) => {
                head.backward_weight(pass, d_logits, x, rows, part);
                head.backward_input(pass, x, d_logits, rows, false);
            }
            None => self.embedding.project_backward(pass, x, d_logits, rows, part),
        }
    }

    /// The name of what wrote the stream of that number.
    pub(super) fn stream_name(at: usize) -> String {
        if at == 0 { "the embedding of the batch".into() } else { format!("the output of blocks.{}", at - 1) }
    }
}

/// The last row of `rows`.
pub(super) fn last_row(x: Activation, rows: usize, dim: usize) -> Activation {
    x.slice((rows - 1) * dim, dim)
}
