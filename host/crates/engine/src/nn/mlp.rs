//! The MLP of a block: two layers around GELU, of which the first can be a convolution, or a gated one (SwiGLU, Shazeer 2020).

use primal_device::grid::Grid;

use super::convolution::ConvolutionLayer;
use super::linear::{LinearLayer, start_sigma};
use super::parameters::{Parameters, Specs};
use super::pass::{Backward, GradientSink, Rows, first_rows};
use crate::backend::{Backend, Sequences};
use crate::memory::{Act, Activation, Plan, Span};
use crate::ops::{Gelu, GeluBackward, Swiglu, SwigluBackward};

/// How an MLP is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlpKind {
    /// `gelu(first(x)) · W₂ᵀ`.
    Plain {
        /// Rows that the first layer sees; odd. 1 for a linear layer.
        kernel: usize,
        /// Whether both layers have biases; not of convolutions.
        biases: bool,
    },
    /// `(silu(x · Gᵀ) · (x · Uᵀ)) · Dᵀ`.
    Gated,
}

impl MlpKind {
    /// Matrices `[rows, hidden]` that the backward pass needs at a time, besides those that the forward pass kept.
    pub(super) fn gradients(self) -> usize {
        match self {
            Self::Plain { .. } => 1,
            Self::Gated => 2,
        }
    }
}

/// The layers of an MLP.
#[derive(Clone, Copy, Debug)]
pub struct Mlp {
    first: First,
    second: LinearLayer,
}

#[derive(Clone, Copy, Debug)]
enum First {
    Linear(LinearLayer),
    Convolution(ConvolutionLayer),
    Gated { gate: LinearLayer, up: LinearLayer },
}

/// What an MLP's forward pass keeps for its backward pass.
#[derive(Clone, Copy, Debug)]
pub struct MlpActivations {
    /// Before GELU, or what the gate comes from, `[rows, hidden]`.
    pub(super) hidden: Activation,
    /// Of a gated MLP: what passes the gate, `[rows, hidden]`.
    up: Option<Activation>,
    /// What the second layer reads, `[rows, hidden]`.
    pub(super) activated: Activation,
    rows: usize,
}

impl MlpActivations {
    /// Reserves them for at most so many rows.
    pub fn plan(plan: &mut Plan, act: Act, name: &str, kind: MlpKind, rows: usize, hidden: usize) -> Self {
        let mut part = |part: &str| Activation::plan(plan, act, format!("{name}.{part}"), rows * hidden);
        Self { hidden: part("hidden"), activated: part("activated"), up: (kind == MlpKind::Gated).then(|| part("up")), rows }
    }

    /// As above, where there is no backward pass: what comes out of a gate lies where that came from.
    pub fn plan_forward(plan: &mut Plan, name: &str, kind: MlpKind, rows: usize, hidden: usize) -> Self {
        if kind != MlpKind::Gated {
            return Self::plan(plan, Act::F32, name, kind, rows, hidden);
        }
        let [hidden, up] = ["hidden", "up"].map(|part| Activation::plan(plan, Act::F32, format!("{name}.{part}"), rows * hidden));
        Self { hidden, up: Some(up), activated: hidden, rows }
    }

    fn first(&self, rows: usize) -> Self {
        let part = |span| first_rows(span, self.rows, rows);
        Self { hidden: part(self.hidden), up: self.up.map(part), activated: part(self.activated), rows }
    }
}

impl Mlp {
    /// Names `<name>.fc1`, `[hidden, kernel · dim]`, and `<name>.fc2`, `[dim, hidden]`; of a gated one `<name>.gate` and `.up`, `[hidden, dim]`, and
    /// `.down`, `[dim, hidden]`. `residual` scales the start of the last.
    pub fn new(
        specs: &mut Specs,
        name: &str,
        kind: MlpKind,
        [dim, hidden]: [usize; 2],
        grid: Option<&'static Grid>,
        residual: f32,
    ) -> Self {
        let sigma = start_sigma(dim);
        let mut linear = |part: &str, shape, sigma, bias: bool| {
            let name = format!("{name}.{part}");
            let layer = LinearLayer::new(specs, &name, shape, grid, sigma);
            if bias { layer.with_bias(specs, &name) } else { layer }
        };
        match kind {
            MlpKind::Plain { kernel: 1, biases } => {
                let first = First::Linear(linear("fc1", [hidden, dim], sigma, biases));
                Self { first, second: linear("fc2", [dim, hidden], sigma * residual, biases) }
            }
            MlpKind::Plain { kernel, biases } => {
                let (name, sigma_of) = (format!("{name}.fc1"), sigma / (kernel as f32).sqrt());
                let first = First::Convolution(ConvolutionLayer::without_bias(specs, &name, [hidden, dim], kernel, grid, sigma_of));
                let second = LinearLayer::new(specs, &name.replace("fc1", "fc2"), [dim, hidden], grid, sigma * residual);
                assert!(!biases, "a convolution without a bias");
                Self { first, second }
            }
            MlpKind::Gated => {
                let [gate, up] = ["gate", "up"].map(|part| linear(part, [hidden, dim], sigma, false));
                Self { first: First::Gated { gate, up }, second: linear("down", [dim, hidden], sigma * residual, false) }
            }
        }
    }

    /// The hidden values of x `[rows, dim]`: the forward pass as far as the backward pass needs it.
    ///
    /// # Panics
    /// If rows after others are asked of a convolution.
    pub fn activate<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &MlpActivations, x: Activation, rows: Rows) {
        let kept = kept.first(rows.count());
        match (&self.first, rows) {
            (First::Linear(layer), _) => layer.forward(b, p, kept.hidden, x, rows),
            (First::Convolution(layer), Rows::Of(sequences)) => layer.forward(b, p, kept.hidden.f32(), x.f32(), sequences, false),
            (First::Convolution(_), Rows::After { .. }) => panic!("a convolution sees rows beside those"),
            (First::Gated { gate, up }, _) => {
                gate.forward(b, p, kept.hidden, x, rows);
                up.forward(b, p, kept.gated(), x, rows);
                return b.run(Swiglu { y: kept.activated.f32(), gate: kept.hidden.f32(), up: kept.gated() });
            }
        }
        b.run(Gelu { y: kept.activated, x: kept.hidden });
    }

    /// From the hidden values to y `[rows, dim]`.
    pub fn finish<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &MlpActivations, y: Activation, rows: Rows) {
        self.second.forward(b, p, y, kept.first(rows.count()).activated, rows);
    }

    /// Writes the gradient of x to `dx`, from that of the output; `d_hidden` holds one matrix `[rows, hidden]`, of a gated MLP two.
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
        let len = kept.hidden.len();
        let d_activated = d_hidden.slice(0, len);
        self.second.backward(pass, d_activated, dy, kept.activated, rows, false);
        if let First::Gated { gate, up } = &self.first {
            // What the second layer read is not needed any more.
            let (d_gate, d_up) = (kept.activated.f32(), d_hidden.slice(len, len));
            pass.b.run(SwigluBackward { d_gate, d_up, dy: d_activated, gate: kept.hidden.f32(), up: kept.gated() });
            gate.backward(pass, dx, d_gate, x, rows, false);
            return up.backward(pass, dx, d_up, x, rows, true);
        }
        pass.b.run(GeluBackward { dx: d_activated, dy: d_activated, x: kept.hidden });
        match &self.first {
            First::Linear(layer) => layer.backward(pass, dx, d_activated, x, rows, false),
            First::Convolution(layer) => {
                layer.backward(pass, d_activated, x.f32(), sequences);
                layer.backward_input(pass, dx, d_activated, sequences, false);
            }
            First::Gated { .. } => unreachable!("done above"),
        }
    }
}

impl MlpActivations {
    fn gated(&self) -> Span<f32> {
        self.up.expect("a gated MLP").f32()
    }
}
