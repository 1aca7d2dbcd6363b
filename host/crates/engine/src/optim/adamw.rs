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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::fixture::{Fixture, steady};

    #[test]
    fn the_first_step_moves_each_weight_by_the_learning_rate() {
        let mut at = Fixture::<Adamw>::new(steady(0.01));
        let (before, gradient) = (at.weights(), [1.0, -2.0, 3.0, -4.0, 5.0, -6.0f32]);
        assert_eq!(at.step(gradient), 0, "a float weight has no flips");
        for ((after, before), g) in at.weights().iter().zip(before).zip(gradient) {
            assert!((after - (before - 0.01 * g.signum())).abs() < 1e-6, "{before} → {after}, gradient {g}");
        }
    }
}
