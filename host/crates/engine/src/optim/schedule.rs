//! The learning rate: linear warm-up, then a cosine down to 2 % (Loshchilov & Hutter 2017).

use crate::config::TrainConfig;

/// The learning rate of `step` (from 0).
pub fn learning_rate(config: &TrainConfig, step: u64) -> f32 {
    let (step, steps) = (step as f64, config.steps as f64);
    let warmup = ((step + 1.0) / config.warmup.max(1) as f64).min(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * (step / steps).min(1.0)).cos());
    (f64::from(config.lr) * warmup * (0.02 + 0.98 * cosine)) as f32
}
