//! A linear layer.

use primal_device::grid::Grid;

use super::parameters::{Init, MatrixId, Parameters, Specs, VectorId};
use super::pass::{Backward, GradientPart, GradientSink, Rows};
use crate::backend::Backend;
use crate::memory::{Activation, Span};
use crate::ops::{self, Bias, BiasBackward, LinearBackwardInput, LutGemm, LutGemv};

/// What linear layers start with, times the root of their inputs. Layers that start much smaller, to write little to the residual stream or
/// to an output, flip in every other step: the learning rate is in units of weight, and their levels are closer together.
pub const GAIN: f32 = 0.55;

/// The standard deviation that a layer of so many inputs starts with.
pub fn start_sigma(inputs: usize) -> f32 {
    GAIN / (inputs as f32).sqrt()
}

/// `y = x · Wᵀ`, or `y = x · Wᵀ + b`; x `[rows, in]`, y `[rows, out]`.
#[derive(Clone, Copy, Debug)]
pub struct LinearLayer {
    weight: MatrixId,
    bias: Option<VectorId>,
}

impl LinearLayer {
    /// Names `<name>`, `[out, in]`, which starts with the standard deviation `sigma`.
    pub fn new(specs: &mut Specs, name: &str, shape: [usize; 2], grid: Option<&'static Grid>, sigma: f32) -> Self {
        let weight = specs.matrix(name.into(), shape, grid, sigma);
        specs.matrices[weight.0].is_product = true;
        Self { weight, bias: None }
    }

    /// Names `<name>.bias`, `[out]`, 0 at the start, besides.
    #[must_use]
    pub fn with_bias(self, specs: &mut Specs, name: &str) -> Self {
        let out = specs.matrices[self.weight.0].out_features;
        Self { bias: Some(specs.vector(format!("{name}.bias"), &[out], Init::Constant(0.0))), ..self }
    }

    /// The layer's output; rows one after another where there is a bias. After others, products are in integers where the weight's grid has them:
    /// see [`LutGemm`] and [`LutGemv`].
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, y: impl Into<Activation>, x: impl Into<Activation>, rows: Rows) {
        match rows {
            Rows::Of(sequences) => self.forward_rows(b, p, y, x, sequences.rows()),
            Rows::After { count: 1, .. } => self.forward_row(b, p, y.into().f32(), x.into().f32()),
            Rows::After { count: rows, .. } => {
                let y = y.into();
                b.run(LutGemm { y: y.f32(), x: x.into(), weight: *p.weight(self.weight), rows });
                self.add_bias(b, p, y);
            }
        }
    }

    /// The output of so many rows; those of y may be padded where there is no bias, here and in the gradients of y.
    pub fn forward_rows<B: Backend>(&self, b: &mut B, p: &Parameters, y: impl Into<Activation>, x: impl Into<Activation>, rows: usize) {
        let y = y.into();
        b.run(ops::Linear { y, x: x.into(), weight: *p.weight(self.weight), rows });
        self.add_bias(b, p, y);
    }

    /// The output of a single row, by the op for decoding, [`LutGemv`].
    pub fn forward_row<B: Backend>(&self, b: &mut B, p: &Parameters, y: Span<f32>, x: Span<f32>) {
        b.run(LutGemv { y, x, weight: *p.weight(self.weight) });
        self.add_bias(b, p, y.into());
    }

    fn add_bias<B: Backend>(&self, b: &mut B, p: &Parameters, y: Activation) {
        if let Some(bias) = self.bias {
            b.run(Bias { y, bias: p.vector(bias) });
        }
    }

    /// Gives the gradients of weight and bias to the sink; `dx = dy · W`, or `dx += …`.
    pub fn backward<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        dx: Span<f32>,
        dy: Span<f32>,
        x: impl Into<Activation>,
        rows: usize,
        accumulate: bool,
    ) {
        self.backward_weight(pass, dy, x, rows, GradientPart::WHOLE);
        self.backward_input(pass, dx, dy, rows, accumulate);
    }

    /// Gives a part of the gradients of weight and bias, that of these rows, to the sink.
    pub fn backward_weight<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        dy: Span<f32>,
        x: impl Into<Activation>,
        rows: usize,
        part: GradientPart,
    ) {
        pass.sink.matrix(pass.b, self.weight, dy, x.into(), rows, part);
        if let Some(bias) = self.bias {
            pass.b.run(BiasBackward { d_bias: pass.sink.vector(bias), dy });
        }
    }

    /// `dx = dy · W`, or `dx += …`.
    pub fn backward_input<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        dx: Span<f32>,
        dy: Span<f32>,
        rows: usize,
        accumulate: bool,
    ) {
        pass.b.run(LinearBackwardInput { dx, dy, weight: *pass.p.weight(self.weight), rows, accumulate });
    }
}
