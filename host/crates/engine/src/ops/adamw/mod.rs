//! AdamW (Loshchilov & Hutter 2019).

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::Span;

/// What all elements of a step have in common.
#[derive(Clone, Copy, Debug)]
pub struct AdamWStep {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay, times `lr`.
    pub weight_decay: f32,
    /// Number of this step, from 1: bias correction.
    pub t: u64,
    /// The gradient is scaled by `min(1, max_norm / norm)`, where `norm²` is [`AdamW::norm_squared`].
    pub max_norm: f32,
    /// Smallest value after the step; `f32::NEG_INFINITY` for none. Keeps row scales positive.
    pub floor: f32,
}

/// One step on a float tensor; none where the norm is not finite, so that what caused it can still be told from the rest.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Moved, `[n]`.
    pub value: Span<f32>,
    /// `[n]`.
    pub gradient: Span<f32>,
    /// First moment, updated, `[n]`.
    pub m: Span<f32>,
    /// Second moment, updated, `[n]`.
    pub v: Span<f32>,
    /// `Σ gradient²` over all that is clipped together, `[1]`.
    pub norm_squared: Span<f32>,
    /// Constants.
    pub step: AdamWStep,
}

impl AdamWStep {
    /// What all elements share: `lr / (1 − β₁ᵗ)`, `1 − lr · weight_decay` and `1 / (1 − β₂ᵗ)`.
    fn factors(&self) -> [f32; 3] {
        let t = self.t.min(i32::MAX as u64) as i32;
        let rate = f64::from(self.lr) / (1.0 - f64::from(self.beta1).powi(t));
        let second = 1.0 / (1.0 - f64::from(self.beta2).powi(t));
        [rate as f32, 1.0 - self.lr * self.weight_decay, second as f32]
    }
}
