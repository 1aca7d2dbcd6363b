//! PRIMAL's first rule: a vote of ±1 where a gradient is far above the mean of its matrix, random flips where the micro-batches of a step agree, and
//! nothing remembered from step to step.

use primal_device::grid;

use crate::backend::{Backend, ScaleGradients, Weight};
use crate::config::TrainConfig;
use crate::memory::{Kind, Plan, Span};
use crate::nn::parameters::MatrixSpec;
use crate::ops::{PoltergeistFlip, PoltergeistVote, ScaleGradient};

use super::float::FloatState;
use super::rule::{Turn, UpdateRule};

/// Votes of a matrix, `[out, padded(in)]`, one `i8` a weight. Each step clears them, so no checkpoint holds them.
#[derive(Clone, Debug)]
pub struct Poltergeist(pub Span<u8>);

impl UpdateRule for Poltergeist {
    fn plan(_config: &TrainConfig, spec: &MatrixSpec, _weight: &Weight, _floats: &mut Vec<FloatState>, plan: &mut Plan) -> Self {
        Self(plan.span(Kind::State, format!("{}.votes", spec.name), spec.out_features * grid::padded(spec.in_features)))
    }

    fn initialise<B: Backend>(&self, b: &mut B, _weight: &Weight, _turn: &Turn) {
        b.zero(self.0);
    }

    fn take<B: Backend>(&self, b: &mut B, weight: &Weight, dw: Span<f32>, d_scales: Option<ScaleGradients>, turn: &Turn) {
        if let Some(d_scales) = d_scales {
            b.run(ScaleGradient { d_scales, dw, weight: *weight });
        }
        b.run(PoltergeistVote { weight: *weight, votes: self.0, dw, z: turn.config.poltergeist_z });
    }

    /// Half of the micro-batches make a consensus.
    fn flip<B: Backend>(&self, b: &mut B, weight: &Weight, counts: Span<u32>, turn: &Turn) {
        b.run(PoltergeistFlip {
            weight: *weight,
            votes: self.0,
            consensus: turn.config.grad_accum.div_ceil(2),
            key: turn.key_of_step(),
            counts,
        });
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
    fn only_gradients_far_above_the_mean_move_weights_and_no_vote_outlives_a_step() {
        let mut at = Fixture::<Poltergeist>::new(steady(0.05));
        let (before, gap) = (at.weights(), at.gap());
        let flips = (0..2000).map(|_| at.step([10.0, -1.0, 1.0, -1.0, 1.0, -1.0])).sum::<u32>();
        let after = at.weights();
        // A flip has a probability of 0.002 / scale, 0.14 %.
        assert!((1..=8).contains(&flips), "{flips} flips in 2000 steps");
        assert!((after[0] - (before[0] - flips as f32 * gap)).abs() < 1e-5, "{} → {} by {flips} flips", before[0], after[0]);
        assert_eq!(after[1..], before[1..]);
        let mut votes = vec![1u8; at.rule.0.len()];
        at.b.download(at.rule.0, &mut votes);
        assert_eq!(votes, vec![0; votes.len()]);
    }
}
