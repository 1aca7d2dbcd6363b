//! What the passes of all layers share: which rows they go over, and where gradients go.

use super::parameters::{MatrixId, Parameters, VectorId};
use crate::backend::{Backend, Sequences};
use crate::memory::{Act, Activation, Span};
use crate::ops::ConvolutionShape;

/// The rows that a forward pass goes over.
#[derive(Clone, Copy, Debug)]
pub enum Rows {
    /// All rows of these sequences.
    Of(Sequences),
    /// `count` rows of one sequence, after `past` earlier ones that left their keys and values behind.
    After {
        /// Earlier rows.
        past: usize,
        /// Rows.
        count: usize,
    },
}

impl Rows {
    /// Number of rows.
    pub fn count(&self) -> usize {
        match self {
            Self::Of(sequences) => sequences.rows(),
            Self::After { count, .. } => *count,
        }
    }
}

/// The first `rows` of a matrix of `of` rows.
pub(super) fn first_rows(matrix: Activation, of: usize, rows: usize) -> Activation {
    matrix.slice(0, matrix.len() / of * rows)
}

/// Where a backward pass leaves the gradients of parameters; an optimizer.
pub trait GradientSink<B: Backend> {
    /// The gradient buffer of a float tensor; ops add to it.
    fn vector(&self, id: VectorId) -> Span<f32>;

    /// Takes a linear layer's `dyᵀ·x` (dy `[rows, out]`, x `[rows, in]`). A gradient may come in parts over disjoint rows; the sink uses it after the last.
    fn matrix(&mut self, backend: &mut B, id: MatrixId, dy: Span<f32>, x: Activation, rows: usize, part: GradientPart);

    /// Takes the gradient of a table of which `y[r] = table[ids[r]]` was read; dy `[rows, in]`, ids `[rows]`. It may be a part, as above.
    fn lookup(&mut self, backend: &mut B, id: MatrixId, dy: Span<f32>, ids: Span<u32>, part: GradientPart);

    /// Takes a convolution's weight gradient, of dy `[rows, out]` and x `[rows, in]`.
    fn convolution(&mut self, backend: &mut B, id: MatrixId, dy: Span<f32>, x: Span<f32>, shape: ConvolutionShape);
}

/// Which part of a matrix gradient this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GradientPart {
    /// The first part: what was there is overwritten.
    pub first: bool,
    /// The last part: the gradient is complete.
    pub last: bool,
}

impl GradientPart {
    /// The gradient in one piece.
    pub const WHOLE: Self = Self { first: true, last: true };
}

/// A backward pass: a back end, the parameters, and where their gradients go.
pub struct Backward<'a, B: Backend, S: GradientSink<B>> {
    /// The device.
    pub b: &'a mut B,
    /// Parameters.
    pub p: &'a Parameters,
    /// Where the gradients of the parameters go.
    pub sink: &'a mut S,
}

/// What the memory of a network is planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Forward and backward; each block keeps its activations.
    Train(Act),
    /// Forward and backward; only the input of each block is kept, and its forward pass is run again in the backward pass (Chen et al. 2016).
    TrainRecomputing(Act),
    /// Forward only.
    Evaluate,
}

impl Purpose {
    /// How activations are stored that are kept for a backward pass.
    pub fn act(self) -> Act {
        match self {
            Self::Train(act) | Self::TrainRecomputing(act) => act,
            Self::Evaluate => Act::F32,
        }
    }
}
