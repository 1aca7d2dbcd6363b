//! Embeddings: rows of a table by id.

use primal_device::grid::Grid;
use serde::{Deserialize, Serialize};

use super::parameters::{Init, MatrixId, Parameters, Specs, VectorId};
use super::pass::{Backward, GradientPart, GradientSink, Rows};
use crate::backend::{Backend, Sequences, Storage, Weight};
use crate::memory::{Activation, Span};
use crate::ops::{self, Add, EmbeddingBackward, Gather, GatherBackward, LinearBackwardInput, LinearBackwardWeight, Lookup, LutGemv};

/// Deviation of embeddings at the start; 0.02 and 0.5 learned more slowly at width 96.
pub const EMBEDDING_SIGMA: f32 = 0.1;

fn table(specs: &mut Specs, name: &str, shape: [usize; 2]) -> VectorId {
    specs.vector(name.into(), &shape, Init::Normal(EMBEDDING_SIGMA))
}

/// `y[r] = table[ids[r]]`, all floats.
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

/// How a table of embeddings is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Embeddings {
    /// As floats, which training moves.
    #[default]
    Float,
    /// As the linear layers are: on the grid, or as a file had it. Training moves it on its grid, or leaves it as it is.
    Matrix,
}

/// Where the rows of a table of tokens lie.
#[derive(Clone, Copy, Debug)]
enum Table {
    /// Floats, which training moves.
    Float(VectorId),
    /// As linear layers are kept.
    Matrix(MatrixId),
}

/// `y[r] = tokens[ids[r]]`, or `y[r] = tokens[ids[r]] + positions[r]`, where positions count from the start of each sequence.
#[derive(Clone, Copy, Debug)]
pub struct TokenEmbedding {
    tokens: Table,
    positions: Option<VectorId>,
    vocab: usize,
    dim: usize,
    /// Whether the table is the head as well.
    is_head: bool,
}

/// The table of tokens of text models.
pub const TOKENS: &str = "embedding.tokens";

impl TokenEmbedding {
    /// Names [`TOKENS`], `[vocab, dim]`, and `embedding.positions`, `[positions, dim]`, if there are such. `is_head` says whether the table is used to
    /// [`project`](Self::project) as well.
    pub fn new(
        specs: &mut Specs,
        [vocab, dim]: [usize; 2],
        positions: Option<usize>,
        kept: Embeddings,
        grid: Option<&'static Grid>,
        is_head: bool,
    ) -> Self {
        let tokens = match kept {
            Embeddings::Float => Table::Float(table(specs, TOKENS, [vocab, dim])),
            Embeddings::Matrix => {
                let id = specs.matrix(TOKENS.into(), [vocab, dim], grid, EMBEDDING_SIGMA);
                specs.matrices[id.0].is_shared = is_head;
                Table::Matrix(id)
            }
        };
        let positions = positions.map(|positions| table(specs, "embedding.positions", [positions, dim]));
        Self { tokens, positions, vocab, dim, is_head }
    }

    fn weight(&self, p: &Parameters) -> Weight {
        match self.tokens {
            Table::Float(id) => Weight { out_features: self.vocab, in_features: self.dim, storage: Storage::Float(p.vector(id)) },
            Table::Matrix(id) => *p.weight(id),
        }
    }

    /// Embeds ids `[rows]` to y `[rows, dim]`, which is `f32` where sequences have several lengths and positions.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, y: Activation, ids: Span<u32>, rows: Rows) {
        let table = self.weight(p);
        let Some(positions) = self.positions else {
            return b.run(Lookup { y: y.f32(), weight: table, ids });
        };
        let positions = p.vector(positions);
        if let Rows::Of(Sequences::Ragged { positions: at, .. }) = rows {
            b.run(Lookup { y: y.f32(), weight: table, ids });
            return b.run(Gather { y: y.f32(), table: positions, ids: at, dim: self.dim, accumulate: true });
        }
        let (positions, seq) = match rows {
            Rows::Of(sequences) => (positions, sequences.longest()),
            Rows::After { past, count } => (positions.slice(past * self.dim, count * self.dim), count),
        };
        if let Storage::Float(table) = table.storage {
            return b.run(ops::Embedding { y, table, positions, ids, seq, dim: self.dim });
        }
        b.run(Lookup { y: y.f32(), weight: table, ids });
        let len = seq * self.dim;
        for y in (0..y.len() / len).map(|at| y.slice(at * len, len)) {
            b.run(Add { y, a: y, b: positions.slice(0, len).into() });
        }
    }

    /// Gives the gradients of the tables to the sink, where training moves them; `order` are the places of the tokens as [`by_id`](crate::ops::by_id)
    /// sorts them.
    pub fn backward<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        dy: Span<f32>,
        ids: Span<u32>,
        order: Span<u32>,
        sequences: Sequences,
    ) {
        let dim = self.dim;
        if let (Some(positions), Sequences::Ragged { positions: at, .. }) = (self.positions, sequences) {
            pass.b.run(GatherBackward { d_table: pass.sink.vector(positions), dy, ids: at, dim });
            return self.backward_tokens(pass, dy, ids);
        }
        let Table::Float(tokens) = self.tokens else {
            self.backward_tokens(pass, dy, ids);
            if let Some(positions) = self.positions {
                let len = sequences.longest() * dim;
                let d_positions = pass.sink.vector(positions).slice(0, len);
                for dy in (0..dy.len() / len).map(|at| dy.slice(at * len, len)) {
                    pass.b.run(Add { y: d_positions.into(), a: d_positions.into(), b: dy.into() });
                }
            }
            return;
        };
        let d_table = pass.sink.vector(tokens);
        match self.positions {
            Some(positions) => {
                let d_positions = pass.sink.vector(positions);
                pass.b.run(EmbeddingBackward { d_table, d_positions, dy, ids, order, seq: sequences.longest(), dim });
            }
            None => self.backward_tokens(pass, dy, ids),
        }
    }

    /// Gives the gradient of the table of tokens to the sink.
    fn backward_tokens<B: Backend, S: GradientSink<B>>(&self, pass: &mut Backward<B, S>, dy: Span<f32>, ids: Span<u32>) {
        match self.tokens {
            Table::Float(tokens) => pass.b.run(GatherBackward { d_table: pass.sink.vector(tokens), dy, ids, dim: self.dim }),
            Table::Matrix(id) => pass.sink.lookup(pass.b, id, dy, ids, GradientPart { first: !self.is_head, last: true }),
        }
    }

    /// `y = x · tableᵀ`: the table as a head. Rows of y may be padded.
    pub fn project<B: Backend>(&self, b: &mut B, p: &Parameters, y: Span<f32>, x: Span<f32>, rows: usize) {
        let weight = self.weight(p);
        if rows == 1 && y.len() == self.vocab {
            return b.run(LutGemv { y, x, weight });
        }
        b.run(ops::Linear { y: y.into(), x: x.into(), weight, rows });
    }

    /// Gives a part of the table's gradient to the sink, which is complete after [`backward`](Self::backward), and writes that of x in its place.
    pub fn project_backward<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        x: Span<f32>,
        dy: Span<f32>,
        rows: usize,
        part: GradientPart,
    ) {
        match self.tokens {
            Table::Float(tokens) => {
                let (dw, x) = (pass.sink.vector(tokens), x.into());
                pass.b.run(LinearBackwardWeight { dw, first: 0, dy, outputs: self.vocab, x, rows, accumulate: true });
            }
            Table::Matrix(id) => pass.sink.matrix(pass.b, id, dy, x.into(), rows, GradientPart { last: false, ..part }),
        }
        pass.b.run(LinearBackwardInput { dx: x, dy, weight: self.weight(pass.p), rows, accumulate: false });
    }
}
