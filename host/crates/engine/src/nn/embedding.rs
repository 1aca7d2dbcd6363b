//! Embeddings: rows of a table by id.

use super::parameters::{Init, Parameters, Specs, VectorId};
use super::pass::{Backward, GradientSink, Rows};
use crate::backend::{Backend, Sequences};
use crate::memory::{Activation, Span};
use crate::ops::{self, EmbeddingBackward, Gather, GatherBackward};

/// Deviation of embeddings at the start; 0.02 and 0.5 learned more slowly at width 96.
pub const EMBEDDING_SIGMA: f32 = 0.1;

fn table(specs: &mut Specs, name: &str, shape: [usize; 2]) -> VectorId {
    specs.vector(name.into(), &shape, Init::Normal(EMBEDDING_SIGMA))
}

/// `y[r] = table[ids[r]]`.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingLayer {
    table: VectorId,
    dim: usize,
}

impl EmbeddingLayer {
    /// Names `<name>`, `[entries, dim]`.
    pub fn new(specs: &mut Specs, name: &str, [entries, dim]: [usize; 2]) -> Self {
        Self { table: table(specs, name, [entries, dim]), dim }
    }

    /// `y = …`, or `y += …`; y `[rows, dim]`, ids `[rows]`.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, y: Span<f32>, ids: Span<u32>, accumulate: bool) {
        b.run(Gather { y, table: p.vector(self.table), ids, dim: self.dim, accumulate });
    }

    /// Gives the gradient of the table to the sink.
    pub fn backward<B: Backend, S: GradientSink<B>>(&self, pass: &mut Backward<B, S>, dy: Span<f32>, ids: Span<u32>) {
        pass.b.run(GatherBackward { d_table: pass.sink.vector(self.table), dy, ids, dim: self.dim });
    }
}

/// `y[r] = tokens[ids[r]] + positions[r]`, where positions count from the start of each sequence.
#[derive(Clone, Copy, Debug)]
pub struct TokenEmbedding {
    tokens: VectorId,
    positions: VectorId,
    dim: usize,
}

impl TokenEmbedding {
    /// Names `<name>.tokens`, `[vocab, dim]`, and `<name>.positions`, `[context, dim]`.
    pub fn new(specs: &mut Specs, name: &str, vocab: usize, context: usize, dim: usize) -> Self {
        let tokens = table(specs, &format!("{name}.tokens"), [vocab, dim]);
        let positions = table(specs, &format!("{name}.positions"), [context, dim]);
        Self { tokens, positions, dim }
    }

    /// Embeds ids `[rows]` of sequences of one length to y `[rows, dim]`.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, y: Activation, ids: Span<u32>, rows: Rows) {
        let positions = p.vector(self.positions);
        let (positions, longest) = match rows {
            Rows::Of(sequences) => (positions, sequences.longest()),
            Rows::Next(position) => (positions.slice(position * self.dim, self.dim), 1),
        };
        b.run(ops::Embedding { y, table: p.vector(self.tokens), positions, ids, seq: longest, dim: self.dim });
    }

    /// Gives the gradients of both tables to the sink; `order` are the places of the tokens as [`by_id`](crate::ops::by_id) sorts them.
    pub fn backward<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        dy: Span<f32>,
        ids: Span<u32>,
        order: Span<u32>,
        sequences: Sequences,
    ) {
        let (d_tokens, d_positions) = (pass.sink.vector(self.tokens), pass.sink.vector(self.positions));
        pass.b.run(EmbeddingBackward { d_table: d_tokens, d_positions, dy, ids, order, seq: sequences.longest(), dim: self.dim });
    }
}
