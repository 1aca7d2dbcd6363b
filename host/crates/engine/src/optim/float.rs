//! A float tensor that AdamW moves: vectors, scales of rows, shadow weights and float weights.

use crate::backend::Backend;
use crate::config::TrainConfig;
use crate::memory::{Kind, Plan, Span};
use crate::ops::{AdamW, AdamWStep};

use super::schedule::learning_rate;

/// AdamW's ε.
const EPS: f32 = 1e-8;

/// A float tensor with its gradient and moments.
#[derive(Clone, Debug)]
pub struct FloatState {
    /// Name of the tensor, for messages and checkpoints.
    pub name: String,
    /// The tensor itself.
    pub value: Span<f32>,
    /// Sum of the step's gradients.
    pub gradient: Span<f32>,
    /// First and second moment.
    pub moments: [Span<f32>; 2],
    /// Factor of the learning rate.
    pub lr_factor: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Smallest value after a step.
    pub floor: f32,
}

impl FloatState {
    /// Reserves gradient and moments of a tensor that moves at the run's learning rate, without decay or floor.
    pub fn plan(plan: &mut Plan, name: String, value: Span<f32>) -> Self {
        let gradient = plan.span(Kind::Gradient, format!("{name}.gradient"), value.len());
        let moments = ["m", "v"].map(|moment| plan.span(Kind::State, format!("{name}.{moment}"), value.len()));
        Self { name, value, gradient, moments, lr_factor: 1.0, weight_decay: 0.0, floor: f32::NEG_INFINITY }
    }

    /// One step of AdamW, the gradient clipped by the norm of all float tensors.
    pub fn step<B: Backend>(&self, b: &mut B, norm_squared: Span<f32>, config: &TrainConfig, step: u64) {
        let adamw = AdamWStep {
            lr: learning_rate(config, step) * self.lr_factor,
            beta1: config.beta1,
            beta2: config.beta2,
            eps: EPS,
            weight_decay: self.weight_decay,
            t: step + 1,
            max_norm: config.clip,
            floor: self.floor,
        };
        b.run(AdamW { value: self.value, gradient: self.gradient, m: self.moments[0], v: self.moments[1], norm_squared, step: adamw });
    }

    /// Bytes of the tensor and its moments.
    pub fn bytes(&self) -> usize {
        3 * self.value.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::Cpu;

    #[test]
    fn gradients_are_clipped_and_values_stay_above_their_floor() {
        let (mut plan, config) = (Plan::default(), TrainConfig { lr: 0.5, warmup: 0, clip: 1.0, beta1: 0.9, ..TrainConfig::default() });
        let value = plan.span(Kind::Parameter, "value", 2);
        let float = FloatState { floor: 0.25, ..FloatState::plan(&mut plan, "value".into(), value) };
        let norm_squared = plan.span(Kind::Io, "norm", 1);
        let mut b = Cpu::new(&mut plan);
        b.upload(value, &[1.0, 0.5]);
        b.upload(float.gradient, &[-3.0, 4.0]);
        b.upload(norm_squared, &[25.0]);
        float.moments.iter().for_each(|&moment| b.zero(moment));
        float.step(&mut b, norm_squared, &config, 0);
        let (mut values, mut means) = ([0.0; 2], [0.0; 2]);
        b.download(value, &mut values);
        b.download(float.moments[0], &mut means);
        // A tenth of the gradient, which is shortened from a norm of 5 to 1.
        approx::assert_relative_eq!(means[..], [-0.06, 0.08], epsilon = 1e-6);
        approx::assert_relative_eq!(values[..], [1.5, 0.25], epsilon = 1e-6);
    }
}
