//! Training of the scales of groups: steps and offsets are halves that follow their gradients, and nothing of them is kept in floats.
//!
//! A scale's gradient is divided by the root of its mean square in rows and columns, whatever those of weights are divided by, and what a half has no room
//! for is rounded at random ([`MoveScales`]). So a weight costs no byte more, but for gradients within a step.

use half::f16;

use crate::backend::{Backend, GridWeight, ScaleGradients, Scales};
use crate::config::TrainConfig;
use crate::files::checkpoint::Content;
use crate::memory::{Kind, Plan, Span};
use crate::nn::parameters::MatrixSpec;
use crate::nn::tensors::{Tensor, tensor};
use crate::ops::{MoveScales, RandomKey};

use super::rule::Turn;
use super::schedule::learning_rate;

/// What moves the scales of a matrix's groups.
#[derive(Clone, Debug)]
pub struct GroupScales {
    step: Part,
    offset: Option<Part>,
}

/// Steps, or offsets.
#[derive(Clone, Debug)]
struct Part {
    name: String,
    /// `[out, groups]`.
    scales: Span<f16>,
    /// Sum of the step's gradients, `[out, groups]`.
    gradient: Span<f32>,
    /// Running mean square of each row of the gradient, and of each column.
    row: Span<f32>,
    column: Span<f32>,
    /// Factor of the learning rate.
    lr_factor: f32,
    /// What sets its random numbers apart from those of the matrix's votes, and of its other part.
    stream: u32,
}

impl Part {
    fn plan(plan: &mut Plan, name: String, scales: Span<f16>, rows: usize, lr_factor: f32, stream: u32) -> Self {
        let gradient = plan.span(Kind::Gradient, format!("{name}.gradient"), scales.len());
        let row = plan.span(Kind::State, format!("{name}_row"), rows);
        let column = plan.span(Kind::State, format!("{name}_column"), scales.len() / rows);
        Self { name, scales, gradient, row, column, lr_factor, stream }
    }
}

impl GroupScales {
    /// Reserves it, where scales of groups are trained.
    pub fn plan(config: &TrainConfig, spec: &MatrixSpec, weight: &GridWeight, plan: &mut Plan) -> Option<Self> {
        let (rows, lr) = (spec.out_features, config.group_scale_lr);
        if lr == 0.0 {
            return None;
        }
        let mut part = |name, scales, lr, stream| Part::plan(plan, format!("{}.{name}", spec.name), scales, rows, lr, stream);
        // The largest level moves as far as the offset.
        let of_step = lr / weight.grid.steps();
        match weight.scales {
            Scales::Row(_) => None,
            Scales::Group32 { step } => Some(Self { step: part("step", step, of_step, STEP), offset: None }),
            Scales::Group32Offset { step, offset } => {
                Some(Self { step: part("step", step, of_step, STEP), offset: Some(part("offset", offset, lr, OFFSET)) })
            }
        }
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.step).chain(&self.offset)
    }

    /// Where gradients are added up.
    pub fn gradients(&self) -> ScaleGradients {
        let step = self.step.gradient;
        match &self.offset {
            None => Scales::Group32 { step },
            Some(offset) => Scales::Group32Offset { step, offset: offset.gradient },
        }
    }

    /// The same, one by one.
    pub fn sums(&self) -> impl Iterator<Item = Span<f32>> {
        self.parts().map(|part| part.gradient)
    }

    /// Start values.
    pub fn initialise<B: Backend>(&self, b: &mut B) {
        self.parts().flat_map(|part| [part.row, part.column]).for_each(|squares| b.zero(squares));
    }

    /// The end of a step: the scales move.
    pub fn step<B: Backend>(&self, b: &mut B, turn: &Turn) {
        let Turn { config, tensor, step, .. } = *turn;
        for part in self.parts() {
            let &Part { scales, gradient, row, column, lr_factor, stream, .. } = part;
            b.run(MoveScales {
                scales,
                gradient,
                row,
                column,
                lr: learning_rate(config, step) * lr_factor,
                beta2: config.beta2,
                bias_correction: (1.0 - f64::from(config.beta2).powf(step as f64 + 1.0)) as f32,
                key: RandomKey { tensor: tensor | stream, ..turn.key_of_step() },
            });
        }
    }

    /// What a checkpoint holds of it besides the scales.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor> {
        self.parts().flat_map(|part| {
            let squares = |name, span: Span<f32>| tensor(format!("{}_{name}", part.name), Content::Squares, &[span.len()], span);
            [squares("row", part.row), squares("column", part.column)]
        })
    }
}

/// Bits above the number of any matrix.
const STEP: u32 = 1 << 30;
const OFFSET: u32 = 1 << 31;
