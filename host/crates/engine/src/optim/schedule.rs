//! The learning rate: linear warm-up, then a cosine down to 2 % (Loshchilov & Hutter 2017).

use crate::config::TrainConfig;

/// The learning rate of `step` (from 0).
pub fn learning_rate(config: &TrainConfig, step: u64) -> f32 {
    let (step, steps) = (step as f64, config.steps as f64);
    let warmup = ((step + 1.0) / config.warmup.max(1) as f64).min(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * (step / steps).min(1.0)).cos());
    (f64::from(config.lr) * warmup * (0.02 + 0.98 * cosine)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_warms_up_to_the_peak_and_ends_at_two_percent() {
        let config = TrainConfig { lr: 1.0, warmup: 10, steps: 10_000, ..TrainConfig::default() };
        let rates = [0, 4, 9, 5_000, 10_000].map(|step| learning_rate(&config, step));
        approx::assert_relative_eq!(rates[..], [0.1, 0.5, 1.0, 0.51, 0.02], epsilon = 1e-5);
    }
}
