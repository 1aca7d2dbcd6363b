//! What an update rule is: how the gradient of a linear layer's weight moves it. How to add one is said in [`optim`](super).

use crate::backend::{Backend, ScaleGradients, Weight};
use crate::config::{Reduce, TrainConfig};
use crate::memory::{Plan, Span};
use crate::nn::parameters::MatrixSpec;
use crate::nn::tensors::Tensor;
use crate::ops::RandomKey;

use super::float::FloatState;

/// An update rule, and what it keeps of one matrix.
///
/// In a step each micro-batch's gradient is either handed to [`take`](Self::take) or added up in [`accumulator`](Self::accumulator); then float
/// tensors move, then [`flip`](Self::flip) and [`finish`](Self::finish) are called for each matrix. Gradients are `[out, in]`, row-major.
pub trait UpdateRule: Sized {
    /// Whether the weights are float: models of this rule have no grid.
    const IS_FLOAT: bool = false;

    /// Reserves what is kept of a matrix; float tensors that AdamW is to move are added to `floats`.
    fn plan(config: &TrainConfig, spec: &MatrixSpec, weight: &Weight, floats: &mut Vec<FloatState>, plan: &mut Plan) -> Self;

    /// Receives the matrix's float start values, some at a time: those from the `first` on.
    fn receive_start<B: Backend>(&self, _b: &mut B, _first: usize, _values: &[f32]) {}

    /// Start values of what is kept.
    fn initialise<B: Backend>(&self, _b: &mut B, _weight: &Weight, _turn: &Turn) {}

    /// Where the gradient of all micro-batches is added up; `None` where [`take`](Self::take) is to have that of each one.
    fn accumulator(&self) -> Option<Span<f32>> {
        None
    }

    /// Takes a micro-batch's gradient `dw`, whose buffer is used again afterwards; the gradients of scales are added to `d_scales`,
    /// where they are trained. Says [`commit`](crate::interrupt::commit) before it changes what [`tensors`](Self::tensors) names.
    fn take<B: Backend>(&self, _b: &mut B, _weight: &Weight, _dw: Span<f32>, _d_scales: Option<ScaleGradients>, _turn: &Turn) {}

    /// Whether weights flip between the micro-batches of a step as well.
    fn flips_between(_config: &TrainConfig) -> bool {
        false
    }

    /// Moves the weights on their grid; `counts` is `[flipped, at a rail]` after it.
    fn flip<B: Backend>(&self, _b: &mut B, _weight: &Weight, _counts: Span<u32>, _turn: &Turn) {}

    /// Ends a step, when all matrices have flipped.
    fn finish<B: Backend>(&self, _b: &mut B, _weight: &Weight, _turn: &Turn) {}

    /// What a checkpoint holds of it, apart from the parameters and the moments of [`FloatState`]s. Contents that are
    /// [`Values`](crate::files::checkpoint::Content::Values) are weights, which a run may start with;
    /// [`Squares`](crate::files::checkpoint::Content::Squares) must be finite after each step.
    fn tensors(&self, _spec: &MatrixSpec) -> Vec<Tensor> {
        Vec::new()
    }

    /// Bytes kept in a run for the matrix's weights one by one, besides their codes.
    fn bytes(&self) -> usize;
}

/// Whose turn it is, and when.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// How the run trains.
    pub config: &'a TrainConfig,
    /// The matrix's number in the model, which is that of its random stream.
    pub tensor: u32,
    /// The step, from 0.
    pub step: u64,
    /// The micro-batch of the step, from 0.
    pub micro_batch: u32,
}

impl Turn<'_> {
    /// The key of the random numbers that the matrix gets once a step.
    pub fn key_of_step(&self) -> RandomKey {
        RandomKey { seed: self.config.seed, tensor: self.tensor, step: self.step }
    }

    /// How often a rule takes a gradient in a step: that of each micro-batch, or of all together.
    pub fn casts(&self) -> u32 {
        if self.config.reduce == Reduce::Gradients { 1 } else { self.config.grad_accum }
    }

    /// The key of the random numbers that the matrix gets once a micro-batch.
    pub fn key_of_micro_batch(&self) -> RandomKey {
        RandomKey { step: self.step * u64::from(self.casts()) + u64::from(self.micro_batch), ..self.key_of_step() }
    }
}
