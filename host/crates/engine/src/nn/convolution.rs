//! A convolution within sequences. With one tap and a bias it is a linear layer with a bias.

use primal_device::grid::Grid;

use super::parameters::{Init, MatrixId, Parameters, Specs, VectorId};
use super::pass::{Backward, GradientSink};
use crate::backend::{Backend, Sequences};
use crate::memory::Span;
use crate::ops::{BiasBackward, Conv1d, Conv1dBackwardInput, ConvolutionShape};

/// The parameters of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionLayer {
    weight: MatrixId,
    bias: Option<VectorId>,
    kernel: usize,
}

impl ConvolutionLayer {
    /// Names `<name>` and `<name>.bias`, the latter 0 at the start. The weights' deviation at the start is `gain` over the root of the inputs.
    pub fn new(
        specs: &mut Specs,
        name: &str,
        [out_channels, in_channels]: [usize; 2],
        kernel: usize,
        grid: Option<&'static Grid>,
        gain: f32,
    ) -> Self {
        let sigma = gain / ((kernel * in_channels) as f32).sqrt();
        let layer = Self::without_bias(specs, name, [out_channels, in_channels], kernel, grid, sigma);
        Self { bias: Some(specs.vector(format!("{name}.bias"), &[out_channels], Init::Constant(0.0))), ..layer }
    }

    /// Names `<name>`, whose weights start with the standard deviation `sigma`.
    pub fn without_bias(
        specs: &mut Specs,
        name: &str,
        [out_channels, in_channels]: [usize; 2],
        kernel: usize,
        grid: Option<&'static Grid>,
        sigma: f32,
    ) -> Self {
        Self { weight: specs.matrix(name.into(), [out_channels, kernel * in_channels], grid, sigma), bias: None, kernel }
    }

    /// Channels that come out.
    pub fn out_channels(&self, p: &Parameters) -> usize {
        p.weight(self.weight).out_features
    }

    fn shape(&self, sequences: Sequences) -> ConvolutionShape {
        ConvolutionShape { sequences, kernel: self.kernel, dilation: 1 }
    }

    /// `y = convolution(x)`, or `y += …`; x `[rows, in]`, y `[rows, out]`.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, y: Span<f32>, x: Span<f32>, sequences: Sequences, accumulate: bool) {
        let bias = self.bias.map(|bias| p.vector(bias));
        b.run(Conv1d { y, x, weight: *p.weight(self.weight), bias, shape: self.shape(sequences), accumulate });
    }

    /// Gives the gradients of weight and bias to the sink.
    pub fn backward<B: Backend, S: GradientSink<B>>(&self, pass: &mut Backward<B, S>, dy: Span<f32>, x: Span<f32>, sequences: Sequences) {
        pass.sink.convolution(pass.b, self.weight, dy, x, self.shape(sequences));
        if let Some(bias) = self.bias {
            pass.b.run(BiasBackward { d_bias: pass.sink.vector(bias), dy });
        }
    }

    /// `dx = …`, or `dx += …`.
    pub fn backward_input<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        dx: Span<f32>,
        dy: Span<f32>,
        sequences: Sequences,
        accumulate: bool,
    ) {
        pass.b.run(Conv1dBackwardInput { dx, dy, weight: *pass.p.weight(self.weight), shape: self.shape(sequences), accumulate });
    }
}
