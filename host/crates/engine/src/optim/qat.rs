//! Quantisation-aware training: AdamW moves float shadow weights by a straight-through estimator, and each step rounds them to the grid.

use crate::backend::{Backend, Weight};
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

    fn take<B: Backend>(&self, b: &mut B, weight: &Weight, dw: Span<f32>, d_scale: Span<f32>, _turn: &Turn) {
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
