//! A linear layer without a bias.

use primal_device::grid::Grid;

use super::parameters::{MatrixId, Parameters, Specs};
use super::pass::{Backward, GradientPart, GradientSink, Rows};
use crate::backend::Backend;
use crate::memory::{Activation, Span};
use crate::ops::{self, LinearBackwardInput, LutGemv};

/// What linear layers start with, times the root of their inputs. Layers that start much smaller, to write little to the residual stream or
/// to an output, flip in every other step: the learning rate is in units of weight, and their levels are closer together.
pub const GAIN: f32 = 0.55;

/// The standard deviation that a layer of so many inputs starts with.
pub fn start_sigma(inputs: usize) -> f32 {
    GAIN / (inputs as f32).sqrt()
}

/// `y = x · Wᵀ`; x `[rows, in]`, y `[rows, out]`.
#[derive(Clone, Copy, Debug)]
pub struct LinearLayer {
    weight: MatrixId,
}

impl LinearLayer {
    /// Names `<name>`, `[out, in]`, which starts with the standard deviation `sigma`.
    pub fn new(specs: &mut Specs, name: &str, shape: [usize; 2], grid: Option<&'static Grid>, sigma: f32) -> Self {
        Self { weight: specs.matrix(name.into(), shape, grid, sigma) }
    }

    /// `y = x · Wᵀ`.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, y: impl Into<Activation>, x: impl Into<Activation>, rows: Rows) {
        match rows {
            Rows::Of(sequences) => self.forward_rows(b, p, y, x, sequences.rows()),
            Rows::Next(_) => self.forward_row(b, p, y.into().f32(), x.into().f32()),
        }
    }

    /// `y = x · Wᵀ` of so many rows; those of y may be padded, here and in the gradients of y.
    pub fn forward_rows<B: Backend>(&self, b: &mut B, p: &Parameters, y: impl Into<Activation>, x: impl Into<Activation>, rows: usize) {
        b.run(ops::Linear { y: y.into(), x: x.into(), weight: *p.weight(self.weight), rows });
    }

    /// `y = x · Wᵀ` of a single row, by the op for decoding, [`LutGemv`].
    pub fn forward_row<B: Backend>(&self, b: &mut B, p: &Parameters, y: Span<f32>, x: Span<f32>) {
        b.run(LutGemv { y, x, weight: *p.weight(self.weight) });
    }

    /// Gives the weight's gradient to the sink; `dx = dy · W`, or `dx += …`.
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

    /// Gives a part of the weight's gradient, that of these rows, to the sink.
    pub fn backward_weight<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        dy: Span<f32>,
        x: impl Into<Activation>,
        rows: usize,
        part: GradientPart,
    ) {
        pass.sink.matrix(pass.b, self.weight, dy, x.into(), rows, part);
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
