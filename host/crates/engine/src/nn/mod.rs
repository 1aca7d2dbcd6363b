//! Parameters, and layers with explicit forward and backward passes over a back end.

pub mod block;
pub mod convolution;
pub mod parameters;
pub mod stack;
pub mod tensors;

pub use block::{Block, BlockIds};
pub use parameters::{MatrixId, Parameters, VectorId};

use crate::backend::{Backend, ConvolutionShape};
use crate::memory::Span;

/// Where a backward pass leaves the gradients of parameters; an optimizer.
pub trait GradientSink<B: Backend> {
    /// The gradient buffer of a float tensor; ops add to it.
    fn vector(&self, id: VectorId) -> Span<f32>;

    /// Takes a linear layer's `dyᵀ·x` (dy `[rows, out]`, x `[rows, in]`). A gradient may come in parts over disjoint rows; the sink uses it after the last.
    fn matrix(&mut self, backend: &mut B, id: MatrixId, dy: Span<f32>, x: Span<f32>, rows: usize, part: Part);

    /// Takes a convolution's weight gradient, of dy `[rows, out]` and x `[rows, in]`.
    fn convolution(&mut self, backend: &mut B, id: MatrixId, dy: Span<f32>, x: Span<f32>, shape: ConvolutionShape);
}

/// Which part of a matrix gradient this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first part: what was there is overwritten.
    pub first: bool,
    /// The last part: the gradient is complete.
    pub last: bool,
}

/// What the memory of a network is planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Forward and backward; each block keeps its activations.
    Train,
    /// Forward and backward; only the input of each block is kept, and its forward pass is run again in the backward pass (Chen et al. 2016).
    TrainRecomputing,
    /// Forward only.
    Evaluate,
}

impl Part {
    /// The gradient in one piece.
    pub const WHOLE: Self = Self { first: true, last: true };
}
