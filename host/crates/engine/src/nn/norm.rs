//! Layer normalisation (Ba et al. 2016).

use super::parameters::{Init, Parameters, Specs, VectorId};
use super::pass::{Backward, GradientSink, first_rows};
use crate::backend::Backend;
use crate::memory::{Act, Activation, Kind, Plan, Span};
use crate::ops::{LayerNorm, LayerNormBackward};

/// `y = (x − mean) · rstd · gamma + beta` in each row.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    gamma: VectorId,
    beta: VectorId,
    dim: usize,
}

/// A layer norm's output, and its rows' mean and reciprocal deviation.
#[derive(Clone, Copy, Debug)]
pub struct NormActivations {
    /// The output, `[rows, dim]`.
    pub y: Activation,
    mean: Span<f32>,
    rstd: Span<f32>,
}

impl Norm {
    /// Names `<name>.gamma` and `<name>.beta`, `[dim]`.
    pub fn new(specs: &mut Specs, name: &str, dim: usize) -> Self {
        Self {
            gamma: specs.vector(format!("{name}.gamma"), &[dim], Init::Constant(1.0)),
            beta: specs.vector(format!("{name}.beta"), &[dim], Init::Constant(0.0)),
            dim,
        }
    }

    /// Normalises the rows of x `[rows, dim]` into `kept.y`.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &NormActivations, x: impl Into<Activation>) {
        b.run(LayerNorm {
            y: kept.y,
            mean: kept.mean,
            rstd: kept.rstd,
            x: x.into(),
            gamma: p.vector(self.gamma),
            beta: p.vector(self.beta),
            dim: self.dim,
        });
    }

    /// Adds the gradient of x to `dx`, from that of the output, and the parameters' to the sink; `dy` may lie in `kept.y`.
    pub fn backward<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        kept: &NormActivations,
        dx: Span<f32>,
        dy: Span<f32>,
        x: impl Into<Activation>,
    ) {
        let (d_gamma, d_beta) = (pass.sink.vector(self.gamma), pass.sink.vector(self.beta));
        pass.b.run(LayerNormBackward {
            dx,
            d_gamma,
            d_beta,
            dy,
            x: x.into(),
            mean: kept.mean,
            rstd: kept.rstd,
            gamma: pass.p.vector(self.gamma),
            dim: self.dim,
        });
    }
}

impl NormActivations {
    /// Reserves the output and what the backward pass needs, of at most so many rows.
    pub fn plan(plan: &mut Plan, act: Act, name: &str, rows: usize, dim: usize) -> Self {
        let y = Activation::plan(plan, act, format!("{name}.y"), rows * dim);
        Self::plan_in(plan, name, y, rows)
    }

    /// Reserves all but the output.
    pub fn plan_in(plan: &mut Plan, name: &str, y: Activation, rows: usize) -> Self {
        Self {
            y,
            mean: plan.span(Kind::Activation, format!("{name}.mean"), rows),
            rstd: plan.span(Kind::Activation, format!("{name}.rstd"), rows),
        }
    }

    /// The part of the first `rows` rows.
    pub fn first(&self, rows: usize) -> Self {
        let y = first_rows(self.y, self.mean.len(), rows);
        Self { y, mean: self.mean.slice(0, rows), rstd: self.rstd.slice(0, rows) }
    }
}
