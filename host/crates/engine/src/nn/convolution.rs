//! A convolution with a bias, within sequences. With one tap it is a linear layer with a bias.

use primal_device::grid::GridId;

use super::parameters::{Init, Specs};
use super::{GradientSink, MatrixId, Parameters, VectorId};
use crate::backend::{Backend, ConvolutionShape, Sequences};
use crate::memory::Span;

/// The parameters of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    weight: MatrixId,
    bias: VectorId,
    kernel: usize,
}

impl Convolution {
    /// Names `<name>` and `<name>.bias`, the latter 0 at the start. The weights' deviation at the start is `gain` over the root of the inputs.
    pub fn new(
        specs: &mut Specs,
        name: &str,
        [out_channels, in_channels]: [usize; 2],
        kernel: usize,
        grid: Option<GridId>,
        gain: f32,
    ) -> Self {
        let inputs = kernel * in_channels;
        Self {
            weight: specs.matrix(name.into(), [out_channels, inputs], grid, gain / (inputs as f32).sqrt()),
            bias: specs.vector(format!("{name}.bias"), &[out_channels], Init::Constant(0.0)),
            kernel,
        }
    }

    fn shape(&self, sequences: Sequences) -> ConvolutionShape {
        ConvolutionShape { sequences, kernel: self.kernel, dilation: 1 }
    }

    /// `y = convolution(x)`, or `y += …`; x `[rows, in]`, y `[rows, out]`.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, y: Span<f32>, x: Span<f32>, sequences: Sequences, accumulate: bool) {
        b.conv1d(y, x, p.weight(self.weight), Some(p.vector(self.bias)), self.shape(sequences), accumulate);
    }

    /// Gives the gradients of weight and bias to the sink.
    pub fn backward<B: Backend>(&self, b: &mut B, sink: &mut impl GradientSink<B>, dy: Span<f32>, x: Span<f32>, sequences: Sequences) {
        sink.convolution(b, self.weight, dy, x, self.shape(sequences));
        b.bias_backward(sink.vector(self.bias), dy);
    }

    /// `dx = …`, or `dx += …`.
    pub fn backward_input<B: Backend>(
        &self,
        b: &mut B,
        p: &Parameters,
        dx: Span<f32>,
        dy: Span<f32>,
        sequences: Sequences,
        accumulate: bool,
    ) {
        b.conv1d_backward_input(dx, dy, p.weight(self.weight), self.shape(sequences), accumulate);
    }
}
