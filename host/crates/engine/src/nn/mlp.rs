//! The MLP of a block: a linear layer or a convolution, GELU, a linear layer; no biases.

use primal_device::grid::Grid;

use super::convolution::ConvolutionLayer;
use super::linear::{LinearLayer, start_sigma};
use super::parameters::{Parameters, Specs};
use super::pass::{Backward, GradientSink, Rows, first_rows};
use crate::backend::{Backend, Sequences};
use crate::memory::{Act, Activation, Plan, Span};
use crate::ops::{Gelu, GeluBackward};

/// `y = gelu(first(x)) · W₂ᵀ`.
#[derive(Clone, Copy, Debug)]
pub struct Mlp {
    first: First,
    second: LinearLayer,
}

#[derive(Clone, Copy, Debug)]
enum First {
    Linear(LinearLayer),
    Convolution(ConvolutionLayer),
}

/// What an MLP's forward pass keeps for its backward pass.
#[derive(Clone, Copy, Debug)]
pub struct MlpActivations {
    /// Before GELU, `[rows, hidden]`.
    pub(super) hidden: Activation,
    /// After GELU, `[rows, hidden]`.
    pub(super) activated: Activation,
    rows: usize,
}

impl MlpActivations {
    /// Reserves them for at most so many rows.
    pub fn plan(plan: &mut Plan, act: Act, name: &str, rows: usize, hidden: usize) -> Self {
        let [hidden, activated] = ["hidden", "activated"].map(|part| Activation::plan(plan, act, format!("{name}.{part}"), rows * hidden));
        Self { hidden, activated, rows }
    }

    fn first(&self, rows: usize) -> Self {
        let part = |span| first_rows(span, self.rows, rows);
        Self { hidden: part(self.hidden), activated: part(self.activated), rows }
    }
}

impl Mlp {
    /// Names `<name>.fc1`, `[hidden, kernel · dim]`, and `<name>.fc2`, `[dim, hidden]`. `residual` scales the start of the second.
    pub fn new(specs: &mut Specs, name: &str, [dim, hidden, kernel]: [usize; 3], grid: Option<&'static Grid>, residual: f32) -> Self {
        let sigma = start_sigma(dim);
        let (fc1, fc2) = (format!("{name}.fc1"), format!("{name}.fc2"));
        let first = match kernel {
            1 => First::Linear(LinearLayer::new(specs, &fc1, [hidden, dim], grid, sigma)),
            _ => {
                First::Convolution(ConvolutionLayer::without_bias(specs, &fc1, [hidden, dim], kernel, grid, sigma / (kernel as f32).sqrt()))
            }
        };
        Self { first, second: LinearLayer::new(specs, &fc2, [dim, hidden], grid, sigma * residual) }
    }

    /// The hidden values of x `[rows, dim]`: the forward pass as far as the backward pass needs it.
    ///
    /// # Panics
    /// If only a next row is asked of a convolution.
    pub fn activate<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &MlpActivations, x: Activation, rows: Rows) {
        let kept = kept.first(rows.count());
        match (&self.first, rows) {
            (First::Linear(layer), _) => layer.forward(b, p, kept.hidden, x, rows),
            (First::Convolution(layer), Rows::Of(sequences)) => layer.forward(b, p, kept.hidden.f32(), x.f32(), sequences, false),
            (First::Convolution(_), Rows::Next(_)) => panic!("a convolution sees rows beside the next one"),
        }
        b.run(Gelu { y: kept.activated, x: kept.hidden });
    }

    /// From the hidden values to y `[rows, dim]`.
    pub fn finish<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &MlpActivations, y: Activation, rows: Rows) {
        self.second.forward(b, p, y, kept.first(rows.count()).activated, rows);
    }

    /// Writes the gradient of x to `dx`, from that of the output; `d_hidden` holds a matrix `[rows, hidden]`.
    #[expect(clippy::too_many_arguments, reason = "a backward pass names all its operands")]
    pub fn backward<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        kept: &MlpActivations,
        dx: Span<f32>,
        dy: Span<f32>,
        x: Activation,
        sequences: Sequences,
        d_hidden: Span<f32>,
    ) {
        let rows = sequences.rows();
        let kept = kept.first(rows);
        let d_hidden = d_hidden.slice(0, kept.hidden.len());
        self.second.backward(pass, d_hidden, dy, kept.activated, rows, false);
        pass.b.run(GeluBackward { dx: d_hidden, dy: d_hidden, x: kept.hidden });
        match &self.first {
            First::Linear(layer) => layer.backward(pass, dx, d_hidden, x, rows, false),
            First::Convolution(layer) => {
                layer.backward(pass, d_hidden, x.f32(), sequences);
                layer.backward_input(pass, dx, d_hidden, sequences, false);
            }
        }
    }
}
