//! What is compared: sizes of the model, and arms.

use primal_device::grid::{self, Grid, ScaleForm, VoteBits};
use primal_engine::config::{Divisor, Flips, Reduce, Rule, TrainConfig, VoteStart};

/// One size of the model, and how long it learns.
pub struct Size {
    pub name: &'static str,
    pub dim: usize,
    pub layers: usize,
    pub heads: usize,
    pub steps: u64,
    pub seeds: &'static [u64],
    /// The learning rates among which each tuned arm chooses.
    pub lrs: &'static [f32],
}

/// Sequences and tokens of a step.
pub const BATCH: usize = 16;
pub const SEQ_LEN: usize = 128;
/// Steps of a run that chooses a learning rate: a million bytes.
pub const TUNING_STEPS: u64 = 490;
pub const TUNING_SEED: u64 = 100;

pub const SIZES: [Size; 2] = [
    // 5.0 million bytes.
    Size { name: "0.5M", dim: 96, layers: 4, heads: 3, steps: 2442, seeds: &[1, 2, 3], lrs: &[2e-3, 4e-3, 8e-3, 1.6e-2] },
    // 10.0 million bytes.
    Size { name: "2M", dim: 192, layers: 4, heads: 6, steps: 4883, seeds: &[1], lrs: &[3e-3, 6e-3, 1.2e-2] },
];

/// All arms; both sizes have them.
pub const ARMS: [Arm; 29] = [
    Arm::VOTES,
    Arm::QAT,
    Arm::ADAMW,
    Arm::POLTERGEIST,
    Arm::FOUR_BITS,
    Arm::PRIME13,
    Arm::PRIME15,
    Arm::FINE15,
    Arm::UNIFORM16,
    Arm::INT4,
    Arm::UINT4,
    Arm::NF4,
    Arm::E2M1,
    Arm::SEED,
    Arm::SEED_RESCALED,
    Arm::HALF_KAPPA,
    Arm::FULL_SCALES,
    Arm::FROZEN_SCALES,
    Arm::GROUPS,
    Arm::INT4_GROUPS,
    Arm::UINT4_GROUPS,
    Arm::MICRO_BATCHES,
    Arm::MICRO_FLIPS,
    Arm::HELD,
    Arm::SUMMED,
    Arm::SPREAD,
    Arm::PEAKED,
    Arm::LOW_THRESHOLD,
    Arm::NATURAL,
];

/// What is compared.
#[derive(Clone, Copy)]
pub struct Arm {
    pub name: &'static str,
    pub rule: Rule,
    pub grid: &'static Grid,
    pub last_grid: Option<&'static Grid>,
    pub scales: ScaleForm,
    /// The arm whose learning rate it takes; its own name if it is tuned itself.
    pub tuned_as: &'static str,
    pub adjust: fn(&mut TrainConfig),
    /// Whether it runs with all seeds.
    pub all_seeds: bool,
}

impl Arm {
    pub const VOTES: Self = Self {
        name: "votes, uniform15",
        rule: Rule::Votes,
        grid: &grid::UNIFORM15,
        last_grid: None,
        scales: ScaleForm::Row,
        tuned_as: "votes, uniform15",
        adjust: |_| {},
        all_seeds: true,
    };
    /// Learns better with fast scales, as PRIMAL's first rule is defined with them.
    pub const QAT: Self =
        Self { name: "qat, uniform15", rule: Rule::Qat, tuned_as: "qat, uniform15", adjust: |t| t.scale_lr = 1.0, ..Self::VOTES };
    pub const ADAMW: Self = Self { name: "adamw, float", rule: Rule::Adamw, tuned_as: "adamw, float", ..Self::VOTES };
    pub const POLTERGEIST: Self =
        Self { name: "poltergeist, uniform15", rule: Rule::Poltergeist, tuned_as: "poltergeist, uniform15", ..Self::QAT };
    pub const FOUR_BITS: Self = Self { name: "votes of 4 bits, uniform15", adjust: |t| t.votes = votes(4), ..Self::VOTES };
    pub const PRIME13: Self =
        Self { name: "votes, prime13", grid: &grid::PRIME13, tuned_as: "votes, prime13", all_seeds: false, ..Self::VOTES };
    pub const PRIME15: Self = Self { name: "votes, prime15", grid: &grid::PRIME15, ..Self::PRIME13 };
    pub const FINE15: Self = Self { name: "votes, fine15", grid: &grid::FINE15, tuned_as: "votes, uniform15", ..Self::PRIME13 };
    pub const UNIFORM16: Self = Self { name: "votes, uniform16", grid: &grid::UNIFORM16, ..Self::FINE15 };
    pub const INT4: Self = Self { name: "votes, int4", grid: &grid::INT4, ..Self::FINE15 };
    /// Without an offset no weight is negative.
    pub const UINT4: Self = Self { name: "votes, uint4", grid: &grid::UINT4, ..Self::FINE15 };
    pub const NF4: Self = Self { name: "votes, nf4", grid: &grid::NF4, ..Self::FINE15 };
    pub const E2M1: Self = Self { name: "votes, e2m1", grid: &grid::E2M1, ..Self::FINE15 };
    pub const SEED: Self = Self { name: "votes, prime13 + fine15", last_grid: Some(&grid::FINE15), ..Self::PRIME13 };
    pub const SEED_RESCALED: Self =
        Self { name: "votes, prime13 + fine15, rows re-scaled", adjust: |t| t.rescale_every = 50, ..Self::SEED };
    pub const HALF_KAPPA: Self = Self { name: "votes, uniform15, kappa 0.5", adjust: |t| t.kappa = 0.5, all_seeds: false, ..Self::VOTES };
    pub const FULL_SCALES: Self =
        Self { name: "votes, uniform15, scales ten times as fast", adjust: |t| t.scale_lr = 1.0, all_seeds: false, ..Self::VOTES };
    pub const FROZEN_SCALES: Self =
        Self { name: "votes, uniform15, scales frozen", adjust: |t| t.scale_lr = 0.0, all_seeds: false, ..Self::VOTES };
    pub const GROUPS: Self =
        Self { name: "votes, uniform15, steps of groups", scales: ScaleForm::Group32, all_seeds: false, ..Self::VOTES };
    pub const INT4_GROUPS: Self = Self { name: "votes, int4, steps of groups", grid: &grid::INT4, ..Self::GROUPS };
    pub const UINT4_GROUPS: Self =
        Self { name: "votes, uint4, steps and offsets of groups", grid: &grid::UINT4, scales: ScaleForm::Group32Offset, ..Self::GROUPS };
    pub const MICRO_BATCHES: Self =
        Self { name: "votes, uniform15, 4 micro-batches", adjust: |t| split(t, Flips::Step), all_seeds: false, ..Self::VOTES };
    pub const MICRO_FLIPS: Self = Self {
        name: "votes, uniform15, 4 micro-batches, flips after each",
        adjust: |t| split(t, Flips::MicroBatch),
        ..Self::MICRO_BATCHES
    };
    /// As ranks train: one of a micro-batch each comes to the same bytes.
    pub const HELD: Self = Self {
        name: "votes, uniform15, 4 micro-batches that vote on the same start",
        adjust: |t| share(t, Reduce::Votes),
        all_seeds: true,
        ..Self::MICRO_BATCHES
    };
    pub const SUMMED: Self =
        Self { name: "votes, uniform15, gradients of 4 micro-batches", adjust: |t| share(t, Reduce::Gradients), ..Self::HELD };
    pub const SPREAD: Self =
        Self { name: "votes, uniform15, begun spread", adjust: |t| t.vote_start = VoteStart::Spread, all_seeds: false, ..Self::VOTES };
    pub const PEAKED: Self = Self { name: "votes, uniform15, begun peaked", adjust: |t| t.vote_start = VoteStart::Peaked, ..Self::SPREAD };
    pub const LOW_THRESHOLD: Self = Self {
        name: "votes, uniform15, begun peaked, threshold 0.52",
        adjust: |t| (t.vote_start, t.threshold) = (VoteStart::Peaked, Some(0.52)),
        ..Self::SPREAD
    };

    pub const NATURAL: Self =
        Self { name: "votes, uniform15, divided by mean squares", adjust: |t| t.divisor = Divisor::MeanSquare, ..Self::SPREAD };
    pub const ADAMW_DECAY: Self = Self { name: "adamw, float, weight decay 0.1", adjust: |t| t.weight_decay = 0.1, ..Self::ADAMW };
    /// With scales that learn as slowly as those of votes.
    pub const SLOW_QAT: Self = Self { name: "qat, uniform15, slow scales", rule: Rule::Qat, ..Self::VOTES };
    /// Code and vote are one integer of 12 bits, of which the forward pass sees the nearest level.
    pub const MASTER: Self =
        Self { name: "12-bit master, uniform15", adjust: |t| (t.threshold, t.full_range) = (Some(0.5), true), ..Self::VOTES };
    /// No memory: a weight flips as often as its gradient is large.
    pub const CHANCE: Self = Self { name: "stochastic rounding alone, uniform15", adjust: |t| t.forgets = true, ..Self::VOTES };

    /// Bytes kept of a weight between steps.
    pub fn bytes(&self) -> f64 {
        let mut train = TrainConfig::default();
        (self.adjust)(&mut train);
        match self.rule {
            Rule::Adamw => 12.0,
            // A shadow weight and two moments; codes besides.
            Rule::Qat => 12.5,
            Rule::Votes if train.forgets => 0.5,
            Rule::Votes | Rule::Poltergeist if train.votes == VoteBits::Four => 1.0,
            Rule::Votes | Rule::Poltergeist => 1.5,
        }
    }

    pub fn is_tuned(&self) -> bool {
        self.tuned_as == self.name
    }
}

fn votes(bits: i64) -> VoteBits {
    primal_engine::config::votes_of(bits).expect("4 or 8")
}

/// The same batch in four parts.
fn split(t: &mut TrainConfig, flips: Flips) {
    (t.batch, t.grad_accum, t.flips) = (t.batch / 4, 4, flips);
}

/// The same in four parts that do not see each other.
fn share(t: &mut TrainConfig, reduce: Reduce) {
    split(t, Flips::Step);
    t.reduce = reduce;
}
