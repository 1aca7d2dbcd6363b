//! Normalisation of rows: by mean and deviation (Ba et al. 2016), or by the root mean square (Zhang & Sennrich 2019).

use super::parameters::{Init, Parameters, Specs, VectorId};
use super::pass::{Backward, GradientSink, first_rows};
use crate::backend::Backend;
use crate::memory::{Act, Activation, Kind, Plan, Span};
use crate::ops::{LayerNorm, LayerNormBackward, RmsNorm, RmsNormBackward};

/// What rows are normalised by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NormKind {
    /// `(x − mean) · rstd · gamma + beta`, with ε = 1e-5.
    Layer,
    /// `x · rstd · gamma`.
    Rms {
        /// Added to the mean square.
        epsilon: f32,
    },
}

/// A norm of rows.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    gamma: VectorId,
    by: By,
    dim: usize,
}

#[derive(Clone, Copy, Debug)]
enum By {
    Layer { beta: VectorId },
    Rms { epsilon: f32 },
}

/// A norm's output, and what its backward pass needs of each row.
#[derive(Clone, Copy, Debug)]
pub struct NormActivations {
    /// The output, `[rows, dim]`.
    pub y: Activation,
    /// Means; empty where there are none.
    mean: Span<f32>,
    rstd: Span<f32>,
}

impl Norm {
    /// Names `<name>.gamma` and, of a layer norm, `<name>.beta`, `[dim]`.
    pub fn new(specs: &mut Specs, name: &str, kind: NormKind, dim: usize) -> Self {
        let gamma = specs.vector(format!("{name}.gamma"), &[dim], Init::Constant(1.0));
        let by = match kind {
            NormKind::Layer => By::Layer { beta: specs.vector(format!("{name}.beta"), &[dim], Init::Constant(0.0)) },
            NormKind::Rms { epsilon } => By::Rms { epsilon },
        };
        Self { gamma, by, dim }
    }

    /// Normalises the rows of x `[rows, dim]` into `kept.y`, which may be x where nothing comes back.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &NormActivations, x: impl Into<Activation>) {
        let (x, gamma, dim) = (x.into(), p.vector(self.gamma), self.dim);
        match self.by {
            By::Layer { beta } => b.run(LayerNorm { y: kept.y, mean: kept.mean, rstd: kept.rstd, x, gamma, beta: p.vector(beta), dim }),
            By::Rms { epsilon: eps } => b.run(RmsNorm { y: kept.y.f32(), rstd: kept.rstd, x: x.f32(), gamma, eps, dim }),
        }
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
        let (d_gamma, x, gamma, dim) = (pass.sink.vector(self.gamma), x.into(), pass.p.vector(self.gamma), self.dim);
        let (mean, rstd) = (kept.mean, kept.rstd);
        match self.by {
            By::Layer { beta } => {
                let d_beta = pass.sink.vector(beta);
                pass.b.run(LayerNormBackward { dx, d_gamma, d_beta, dy, x, mean, rstd, gamma, dim });
            }
            By::Rms { .. } => pass.b.run(RmsNormBackward { dx, d_gamma, dy, x: x.f32(), rstd, gamma, dim }),
        }
    }
}

impl NormActivations {
    /// Reserves the output and what the backward pass needs, of at most so many rows.
    pub fn plan(plan: &mut Plan, act: Act, name: &str, kind: NormKind, rows: usize, dim: usize) -> Self {
        let y = Activation::plan(plan, act, format!("{name}.y"), rows * dim);
        Self::plan_in(plan, name, kind, y, rows)
    }

    /// Reserves all but the output.
    pub fn plan_in(plan: &mut Plan, name: &str, kind: NormKind, y: Activation, rows: usize) -> Self {
        let means = if kind == NormKind::Layer { rows } else { 0 };
        Self {
            y,
            mean: plan.span(Kind::Activation, format!("{name}.mean"), means),
            rstd: plan.span(Kind::Activation, format!("{name}.rstd"), rows),
        }
    }

    /// Rows, at most.
    pub(super) fn rows(&self) -> usize {
        self.rstd.len()
    }

    /// The part of the first `rows` rows.
    pub fn first(&self, rows: usize) -> Self {
        let y = first_rows(self.y, self.rstd.len(), rows);
        Self { y, mean: self.mean.slice(0, rows.min(self.mean.len())), rstd: self.rstd.slice(0, rows) }
    }
}
