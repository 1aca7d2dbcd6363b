//! The vote rule: each weight remembers, as a vote in units of the gap to its neighbouring level, where its gradients want it to go, and flips by
//! one level where the vote reaches a consensus. No shadow weights.

use primal_device::grid::{empty_votes, set_vote};
use primal_device::philox::RandomStream;
use primal_device::rules::votes::VoteRule;
use rayon::prelude::*;

use crate::backend::{Backend, ScaleGradients, Weight};
use crate::config::{Divisor, Flips, Reduce, TrainConfig, VoteStart};
use crate::files::checkpoint::Content;
use crate::interrupt;
use crate::memory::{Kind, Plan, Span};
use crate::nn::parameters::MatrixSpec;
use crate::nn::tensors::{Tensor, tensor};
use crate::ops::{Flip, RescaleRows, ScaleGradient, Tile, Vote, VoteCast, VoteState};

use super::float::FloatState;
use super::rule::{Turn, UpdateRule};
use super::schedule::learning_rate;

/// Rows with more than this share of their weights at a rail are re-scaled.
const RESCALE_SHARE: f32 = 0.25;
/// What the scale of such a row is multiplied by, while its codes move towards zero.
const RESCALE_FACTOR: f32 = 1.5;
/// Share of the run, from its start, in which rows are re-scaled.
const RESCALE_UNTIL: f64 = 0.8;
/// A micro-batch takes so many times as long as its forward pass, about: the backward pass has two products for each one.
const WHOLE_STEP: u32 = 3;

/// Votes of a matrix, and the running mean squares of its gradient by row and column.
#[derive(Clone, Debug)]
pub struct Votes(pub VoteState);

impl UpdateRule for Votes {
    fn plan(config: &TrainConfig, spec: &MatrixSpec, _weight: &Weight, _floats: &mut Vec<FloatState>, plan: &mut Plan) -> Self {
        let (name, rows, bits) = (&spec.name, spec.out_features, config.votes);
        Self(VoteState {
            bits,
            votes: plan.span(Kind::State, format!("{name}.votes"), rows * VoteState::row_bytes(bits, spec.in_features)),
            row: plan.span(Kind::State, format!("{name}.vote_row"), rows),
            column: plan.span(Kind::State, format!("{name}.vote_column"), spec.in_features),
        })
    }

    fn initialise<B: Backend>(&self, b: &mut B, weight: &Weight, turn: &Turn) {
        let Self(state) = self;
        let votes = match turn.config.vote_start {
            VoteStart::Zero => vec![empty_votes(state.bits); state.votes.len()],
            VoteStart::Spread | VoteStart::Remainder => spread_votes(state, weight, turn, evenly),
            VoteStart::Peaked => spread_votes(state, weight, turn, with_a_peak),
        };
        b.upload(state.votes, &votes);
        b.zero(state.row);
        b.zero(state.column);
    }

    fn take<B: Backend>(&self, b: &mut B, weight: &Weight, dw: Span<f32>, d_scales: Option<ScaleGradients>, turn: &Turn) {
        self.take_tile(b, weight, dw, d_scales, None, turn);
    }

    fn flips_between(config: &TrainConfig) -> bool {
        config.flips == Flips::MicroBatch
    }

    fn flip<B: Backend>(&self, b: &mut B, weight: &Weight, counts: Span<u32>, turn: &Turn) {
        b.run(Flip { weight: *weight, state: self.0, rule: constants(turn.config), counts });
    }

    /// Rows too near the rails get a wider scale.
    fn finish<B: Backend>(&self, b: &mut B, weight: &Weight, turn: &Turn) {
        let Turn { config, step, .. } = *turn;
        let trained = weight.grid().scales.of_rows().is_some();
        let due = trained && config.rescale_every > 0 && (step + 1).is_multiple_of(config.rescale_every);
        if due && (step as f64) < RESCALE_UNTIL * config.steps as f64 {
            b.run(RescaleRows { weight: *weight, state: self.0, rule: constants(config), share: RESCALE_SHARE, factor: RESCALE_FACTOR });
        }
    }

    fn tensors(&self, spec: &MatrixSpec) -> Vec<Tensor> {
        let (Self(state), name, rows) = (self, &spec.name, spec.out_features);
        vec![
            tensor(format!("{name}.votes"), Content::Votes(state.bits), &[rows, state.votes.len() / rows], state.votes),
            tensor(format!("{name}.vote_row"), Content::Squares, &[rows], state.row),
            tensor(format!("{name}.vote_column"), Content::Squares, &[spec.in_features], state.column),
        ]
    }

    fn bytes(&self) -> usize {
        self.0.votes.bytes()
    }
}

impl Votes {
    /// Those of some rows.
    pub fn rows(&self, first: usize, count: usize) -> Self {
        Self(self.0.rows(first, count))
    }

    /// As [`take`](UpdateRule::take), where weight, votes and gradients are those of some rows of a matrix.
    pub fn take_tile<B: Backend>(
        &self,
        b: &mut B,
        weight: &Weight,
        dw: Span<f32>,
        d_scales: Option<ScaleGradients>,
        tile: Option<Tile>,
        turn: &Turn,
    ) {
        if let Some(d_scales) = d_scales {
            b.run(ScaleGradient { d_scales, dw, weight: *weight });
        }
        interrupt::commit(WHOLE_STEP * turn.casts());
        b.run(Vote { weight: *weight, state: self.0, dw, cast: cast(turn), tile });
    }
}

/// The rule of a run.
pub fn constants(config: &TrainConfig) -> VoteRule {
    let rule = VoteRule::new(config.votes, config.kappa);
    match config.threshold {
        _ if config.forgets => rule.without_memory(),
        Some(share) if config.full_range => rule.with_full_range(share),
        Some(share) => rule.with_threshold(share),
        None => rule,
    }
}

/// The step of the random numbers of votes at the start.
const START: u64 = u64::MAX - 1;

/// Votes of Philox below the consensus, as `draw` makes them of 32 random bits and the consensus; those of padding are empty.
fn spread_votes(state: &VoteState, weight: &Weight, turn: &Turn, draw: fn(u32, u32) -> i32) -> Vec<u8> {
    let stream = RandomStream::new(turn.config.seed, turn.tensor, START);
    let (threshold, row_bytes) = (constants(turn.config).threshold as u32, state.votes.len() / weight.out_features);
    let mut votes = vec![empty_votes(state.bits); state.votes.len()];
    votes.par_chunks_exact_mut(row_bytes).enumerate().for_each(|(row, votes)| {
        let first = row * weight.in_features;
        let (mut block, mut words) = (u32::MAX, [0; 4]);
        for column in 0..weight.in_features {
            let at = first + column;
            if block != (at / 4) as u32 {
                block = (at / 4) as u32;
                words = stream.words(block);
            }
            set_vote(state.bits, votes, column, draw(words[at % 4], threshold));
        }
    });
    votes
}

/// One of the votes below the consensus, each as likely as the others. (The high half of a product maps random bits to as many values as there are.)
fn evenly(random: u32, threshold: u32) -> i32 {
    let votes = u64::from(2 * threshold - 1);
    ((u64::from(random) * votes) >> 32) as i32 - threshold as i32 + 1
}

/// One of the votes below the consensus, less likely as it is nearer: the sum of two draws of half their range.
fn with_a_peak(random: u32, threshold: u32) -> i32 {
    let half = |bits: u32| ((bits * threshold) >> 16) as i32;
    half(random >> 16) + half(random & 0xffff) - threshold as i32 + 1
}

/// The decay of R and C for each micro-batch where they are held within a step: its own squares weigh as much as its share of the whole gradient's.
pub(super) fn held_beta2(config: &TrainConfig) -> f32 {
    if config.grad_accum == 1 { config.beta2 } else { 1.0 - (1.0 - config.beta2) / config.grad_accum as f32 }
}

/// The casting of a micro-batch. The normalised gradients of n micro-batches, if independent, sum to √n of one: the learning rate is divided by
/// that, so that a step is as long whatever n is; and n decays of the mean squares make one of β₂. Where R and C are held within a step, they are those of the
/// whole gradient, of which a micro-batch's is √n times as large.
pub(super) fn cast(turn: &Turn) -> VoteCast {
    let Turn { config, step, micro_batch, .. } = *turn;
    let n = f64::from(turn.casts());
    let is_held = config.reduce == Reduce::Votes;
    let casts = step as f64 + if is_held { 1.0 } else { f64::from(micro_batch + 1) / n };
    let bias_correction = 1.0 - f64::from(config.beta2).powf(casts);
    VoteCast {
        rule: constants(config),
        lr: learning_rate(config, step) / n.sqrt() as f32,
        beta2: if is_held { held_beta2(config) } else { f64::from(config.beta2).powf(1.0 / n) as f32 },
        is_natural: config.divisor == Divisor::MeanSquare,
        bias_correction: (if is_held { bias_correction / n } else { bias_correction }) as f32,
        key: turn.key_of_micro_batch(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::fixture::{Fixture, WEIGHTS, steady};

    #[test]
    fn a_weight_moves_one_level_against_its_gradient_when_its_votes_agree() {
        // Each step asks for a quarter of a level: three are no consensus, four are.
        let mut at = Fixture::<Votes>::new(steady(0.05));
        let (before, gap) = (at.weights(), at.gap());
        let gradient = [1.0, -1.0, 1.0, -1.0, 1.0, -1.0];
        assert_eq!([0; 4].map(|_| at.step(gradient)), [0, 0, 0, WEIGHTS as u32]);
        for ((after, before), g) in at.weights().iter().zip(before).zip(gradient) {
            assert!((after - (before - g * gap)).abs() < 1e-5, "{before} → {after}, gradient {g}, gap {gap}");
        }
    }

    #[test]
    fn gradients_that_disagree_move_nothing() {
        let mut at = Fixture::<Votes>::new(steady(0.05));
        let flips = (0..100).map(|step| at.step([if step % 2 == 0 { 1.0 } else { -1.0 }; WEIGHTS])).sum::<u32>();
        assert_eq!(flips, 0);
    }

    #[test]
    fn a_rule_that_forgets_flips_as_often_as_its_moves_are_long() {
        // Each step asks for a quarter of a level, up and down in turn.
        let mut at = Fixture::<Votes>::new(TrainConfig { forgets: true, ..steady(0.05) });
        let flips: u32 = (0..400).map(|step| at.step([if step % 2 == 0 { 1.0 } else { -1.0 }; WEIGHTS])).sum();
        let share = f64::from(flips) / (400 * WEIGHTS) as f64;
        assert!((0.2..0.3).contains(&share), "{share}, of which 0.25 is expected");
    }

    #[test]
    fn rows_at_the_rails_get_a_wider_scale_until_the_run_nears_its_end() {
        for (first, factor) in [(0, RESCALE_FACTOR), (80_000, 1.0)] {
            let mut at = Fixture::<Votes>::new(TrainConfig { rescale_every: 40, ..steady(0.2) });
            at.step = first;
            let before = at.scales();
            (0..40).for_each(|_| _ = at.step([-1.0; WEIGHTS]));
            assert_eq!(at.scales(), before.map(|scale| scale * factor), "from step {first}");
        }
    }
}
