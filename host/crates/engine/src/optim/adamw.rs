//! The float twin: weights are float and move by AdamW (Loshchilov & Hutter 2019), for comparison.

use crate::backend::{Storage, Weight};
use crate::config::TrainConfig;
use crate::memory::{Plan, Span};
use crate::nn::parameters::MatrixSpec;

use super::float::FloatState;
use super::rule::UpdateRule;

/// A float weight, `[out, in]`.
#[derive(Clone, Debug)]
pub struct Adamw(pub FloatState);

impl UpdateRule for Adamw {
    const IS_FLOAT: bool = true;

    fn plan(config: &TrainConfig, spec: &MatrixSpec, weight: &Weight, floats: &mut Vec<FloatState>, plan: &mut Plan) -> Self {
        let Storage::Float(value) = weight.storage else { panic!("the float twin has float weights") };
        let weight = FloatState { weight_decay: config.weight_decay, ..FloatState::plan(plan, format!("{}.weight", spec.name), value) };
        floats.push(weight.clone());
        Self(weight)
    }

    fn accumulator(&self) -> Option<Span<f32>> {
        Some(self.0.gradient)
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
