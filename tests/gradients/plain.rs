//! A sink that keeps the gradients of a network as they are, to be compared with finite differences.

use primal_engine::backend::Backend;
use primal_engine::memory::{Activation, Span};
use primal_engine::nn::{GradientPart, GradientSink, MatrixId, VectorId};
use primal_engine::ops::{Conv1dBackwardWeight, ConvolutionShape, GatherBackward, LinearBackwardWeight};

/// Keeps plain gradients of everything.
pub struct Plain {
    /// By the number of a float tensor.
    pub vectors: Vec<Span<f32>>,
    /// By the number of a matrix.
    pub matrices: Vec<Span<f32>>,
}

impl<B: Backend> GradientSink<B> for Plain {
    fn vector(&self, id: VectorId) -> Span<f32> {
        self.vectors[id.0]
    }

    fn matrix(&mut self, b: &mut B, id: MatrixId, dy: Span<f32>, x: Activation, rows: usize, part: GradientPart) {
        let (dw, outputs) = (self.matrices[id.0], self.matrices[id.0].len() * rows / x.len());
        b.run(LinearBackwardWeight { dw, first: 0, dy, outputs, x, rows, accumulate: !part.first });
    }

    fn lookup(&mut self, b: &mut B, id: MatrixId, dy: Span<f32>, ids: Span<u32>, part: GradientPart) {
        let (d_table, dim) = (self.matrices[id.0], dy.len() / ids.len());
        if part.first {
            b.zero(d_table);
        }
        b.run(GatherBackward { d_table, dy, ids, dim });
    }

    fn convolution(&mut self, b: &mut B, id: MatrixId, dy: Span<f32>, x: Span<f32>, shape: ConvolutionShape) {
        b.run(Conv1dBackwardWeight { dw: self.matrices[id.0], dy, x, shape, accumulate: false });
    }
}
