//! Quantisation-aware training: AdamW moves float shadow weights by a straight-through estimator, and each step rounds them to the grid.

use crate::backend::{Backend, ScaleGradients, Weight};
use crate::config::TrainConfig;
use crate::files::checkpoint::Content;
use crate::memory::{Kind, Plan, Span};
use crate::nn::parameters::MatrixSpec;
use crate::nn::tensors::{Tensor, tensor};
use crate::ops::{Quantize, StraightThrough};

use super::float::FloatState;
use super::rule::{Turn, UpdateRule};

/// The shadow weights of a matrix, `[out, in]`.
#[derive(Clone, Debug)]
pub struct Qat(pub FloatState);

impl UpdateRule for Qat {
    fn plan(config: &TrainConfig, spec: &MatrixSpec, _weight: &Weight, floats: &mut Vec<FloatState>, plan: &mut Plan) -> Self {
        let name = format!("{}.shadow", spec.name);
        let value = plan.span(Kind::Parameter, name.as_str(), spec.weights());
        let shadow = FloatState { weight_decay: config.weight_decay, ..FloatState::plan(plan, name, value) };
        floats.push(shadow.clone());
        Self(shadow)
    }

    fn receive_start<B: Backend>(&self, b: &mut B, first: usize, values: &[f32]) {
        b.upload(self.0.value.slice(first, values.len()), values);
    }

    fn take<B: Backend>(&self, b: &mut B, weight: &Weight, dw: Span<f32>, d_scales: Option<ScaleGradients>, _turn: &Turn) {
        let d_scale = d_scales.and_then(ScaleGradients::of_rows);
        b.run(StraightThrough { d_shadow: self.0.gradient, d_scale, dw, shadow: self.0.value, weight: *weight });
    }

    fn flip<B: Backend>(&self, b: &mut B, weight: &Weight, counts: Span<u32>, _turn: &Turn) {
        b.run(Quantize { weight: *weight, shadow: self.0.value, counts });
    }

    fn tensors(&self, spec: &MatrixSpec) -> Vec<Tensor> {
        vec![tensor(&self.0.name, Content::Values, &[spec.weights()], self.0.value)]
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::fixture::{Fixture, WEIGHTS, steady};

    #[test]
    fn shadow_weights_move_against_their_gradients_and_weights_are_their_nearest_levels() {
        let mut at = Fixture::<Qat>::new(steady(0.03));
        let gap = at.gap();
        let mut flips = 0;
        let shadow = |at: &mut Fixture<Qat>| {
            let mut values = [0.0; WEIGHTS];
            at.b.download(at.rule.0.value, &mut values);
            values
        };
        let (before, gradient) = (shadow(&mut at), [1.0, -1.0, 1.0, -1.0, 1.0, -1.0]);
        (0..10).for_each(|_| flips += at.step(gradient));
        assert!(flips >= 1, "ten steps of {} are more than a gap of {gap}", at.config.lr);
        for (((weight, after), before), g) in at.weights().iter().zip(shadow(&mut at)).zip(before).zip(gradient) {
            assert!((before - after) * g > 0.0, "shadow {before} → {after}, gradient {g}");
            assert!((weight - after).abs() <= gap / 2.0 + 1e-6, "weight {weight}, shadow {after}, gap {gap}");
        }
    }
}
