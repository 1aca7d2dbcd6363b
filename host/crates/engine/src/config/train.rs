//! How a model is trained: the table `[train]`.

use primal_device::grid::VoteBits;
use serde::{Deserialize, Serialize};

use super::by_name;
use super::rule::Rule;
use super::table::is_default;
use crate::memory::Act;

/// When flips happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flips {
    /// Once a step.
    Step,
    /// After each micro-batch.
    MicroBatch,
}

/// What the votes of a gradient are measured in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Divisor {
    /// The root of its mean square, factored into rows and columns: every weight moves as fast, as with Adam.
    #[default]
    Root,
    /// Its mean square, factored so: an estimate of the loss' curvature along the weight, which makes it the natural gradient (Amari 1998, Martens & Grosse
    /// 2015). Where the loss is steep, a flip that chance has made costs more, and fewer are made.
    MeanSquare,
}

impl Divisor {
    /// The divisor of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "root" => Some(Self::Root),
            "mean-square" => Some(Self::MeanSquare),
            _ => None,
        }
    }
}

/// Which windows of a text are learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Windows {
    /// Any, each as likely as the others: some are seen twice before others are seen once.
    #[default]
    Random,
    /// In each epoch all, side by side, each once, in an order of its own.
    Epochs,
}

impl Windows {
    /// The windows of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "random" => Some(Self::Random),
            "epochs" => Some(Self::Epochs),
            _ => None,
        }
    }
}

/// Whether blocks run twice to save memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recompute {
    /// On if the device could not hold the blocks' activations; whether or not, results have the same bits.
    Auto,
    /// Always: activation checkpointing per block.
    On,
    /// Never.
    Off,
}

/// How the micro-batches of a step come together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduce {
    /// One after another: each one's gradient moves R, C and the votes that the next one finds. Only one process can do so.
    #[default]
    InOrder,
    /// Each one casts votes on those that the step began with, and their sum is applied at its end; see [`ballot`](crate::optim::ballot).
    Votes,
    /// Their gradients are added up in `f32`, and move all once, as everyone does.
    Gradients,
}

impl Reduce {
    /// The way of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "in-order" => Some(Self::InOrder),
            "votes" => Some(Self::Votes),
            "gradients" => Some(Self::Gradients),
            _ => None,
        }
    }

    /// Whether a step's micro-batches do not see each other, so that ranks can share them.
    pub fn is_shared(self) -> bool {
        self != Self::InOrder
    }
}

/// What votes are when a run begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VoteStart {
    /// All 0: a weight that is to move has to gather a whole consensus first.
    #[default]
    Zero,
    /// Evenly spread over all votes below the consensus: of weights that are to move by a hundredth of a gap, a hundredth flips at once. So the weights
    /// follow their gradients on average, as floats would.
    Spread,
    /// Spread with a peak at 0, from which the votes become fewer as they near the consensus. Of weights that are to move twice as far, four times as many
    /// flip, so that of equally many flips more are of weights whose gradients agree.
    Peaked,
    /// What rounding left over, where the file that the run starts from says it; else as `spread`.
    Remainder,
}

impl VoteStart {
    /// The start of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "zero" => Some(Self::Zero),
            "spread" => Some(Self::Spread),
            "peaked" => Some(Self::Peaked),
            "remainder" => Some(Self::Remainder),
            _ => None,
        }
    }
}

/// How a model is trained: the table `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// The update rule.
    pub optimizer: Rule,
    /// Steps in all; the schedule ends there.
    pub steps: u64,
    /// Sequences of a micro-batch.
    pub batch: usize,
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Frames of a micro-batch of speech, at most.
    pub batch_frames: usize,
    /// Micro-batches a step.
    pub grad_accum: u32,
    /// Peak learning rate.
    pub lr: f32,
    /// Learning rate of row scales, in units of `lr` times the scale at the start.
    pub scale_lr: f32,
    /// How far a step moves the largest level of a group by its scales (the offset as far), in units of `lr`; 0, without which it is not written, to leave them.
    #[serde(skip_serializing_if = "is_default")]
    pub group_scale_lr: f32,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// Seed of start values, data order and flips.
    pub seed: u64,
    /// Bits of a vote: 8 or 4.
    #[serde(with = "by_name::vote_bits")]
    pub votes: VoteBits,
    /// Share of a full vote that a flip consumes.
    pub kappa: f32,
    /// Share of a gap at which votes agree and a weight flips; without it 0.80 with 8 bits and 0.85 with 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// Whether the largest vote stands for `threshold`, so that a vote is as small as it can be; else it stands for 0.85 of a gap.
    #[serde(skip_serializing_if = "is_default")]
    pub full_range: bool,
    /// What a gradient is divided by before it votes.
    #[serde(skip_serializing_if = "is_default")]
    pub divisor: Divisor,
    /// Nothing is remembered between steps, for studies: a weight flips with the probability that is its wanted move in gaps.
    #[serde(skip_serializing_if = "is_default")]
    pub forgets: bool,
    /// Votes at the start.
    #[serde(skip_serializing_if = "is_default")]
    pub vote_start: VoteStart,
    /// Of text: whether a table of embeddings that is kept as linear layers are, and the head, are trained as those are, or stay as they are. Without the key
    /// only the head is trained. A table of floats always is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trains_table: Option<bool>,
    /// Whether linear layers that the model a run begins from keeps in another form are put on the run's grid, or stay as they are.
    #[serde(skip_serializing_if = "is_default")]
    pub regrids: bool,
    /// Rows of a matrix's gradient that are held at a time, where it is a product; without it, all. Rows vote without what later ones have to say of their
    /// columns in this step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_rows: Option<usize>,
    /// Flips once a step, or after each micro-batch.
    pub flips: Flips,
    /// How the micro-batches of a step come together. Not written where it is `in-order`, as in runs from before there was the key.
    #[serde(skip_serializing_if = "is_default")]
    pub reduce: Reduce,
    /// Decay of the first moments of float parameters.
    pub beta1: f32,
    /// Decay of all second moments.
    pub beta2: f32,
    /// Largest gradient norm of the float parameters.
    pub clip: f32,
    /// Decoupled weight decay of embeddings (and of the float twin's weights).
    pub weight_decay: f32,
    /// Every so many steps until 80 % of the run, rows with many weights at a rail get a wider scale; 0 for never. Scales of groups never do.
    pub rescale_every: u64,
    /// `poltergeist`: votes are cast above mean + z·std.
    pub poltergeist_z: f32,
    /// Run blocks twice to save memory.
    pub recompute: Recompute,
    /// Of text: how activations are stored that are kept for the backward pass. Not written where they are `f32`, as in runs from before there was the key.
    #[serde(skip_serializing_if = "is_f32")]
    pub activations: Act,
    /// Of text: rows of logits held at a time. New runs get 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit_rows: Option<usize>,
    /// Of text in bytes: on each line only what follows this character is learnt and measured, as the answer to what stands before it; nothing is
    /// learnt of a line whose mark is outside the window. Without it, all is learnt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers_after: Option<char>,
    /// Of text: random windows, or all in turn.
    #[serde(skip_serializing_if = "is_default")]
    pub windows: Windows,
    /// Keep the second half of the last 5 % of each text away from validation, for `eval --split test`.
    pub hold_out_test: bool,
    /// Validate every so many steps; 0 for only at the end.
    pub validate_every: u64,
    /// Tokens of a validation, at most.
    pub validation_tokens: u64,
    /// Stop after so many validations without a new lowest loss; 0 for never.
    pub patience: u32,
    /// Print a sample every so many steps; 0 for only at the end.
    pub sample_every: u64,
    /// Of text: what samples continue; without any, the beginning of a text that is held back, or of a story.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
    /// Save every so many steps; 0 for only at the end.
    pub checkpoint_every: u64,
    /// Checkpoints to keep besides the best.
    pub keep: usize,
}

impl TrainConfig {
    /// Chooses what suits the rule, of votes at the start, divisors and learning rates, where a model that another program trained is trained on; `has` says
    /// which flags were given. What is chosen is the best of what was measured over 500 steps (models/learning/README.md).
    pub fn settle(&mut self, has: impl Fn(&str) -> bool) {
        let is_wide = self.optimizer == Rule::Votes && self.votes == VoteBits::Eight;
        if !has("--divisor") && self.optimizer == Rule::Votes {
            self.divisor = Divisor::MeanSquare;
        }
        self.full_range = self.divisor == Divisor::MeanSquare;
        if !has("--start") {
            self.vote_start = if is_wide { VoteStart::Peaked } else { VoteStart::Spread };
        }
        if !has("--lr") {
            self.lr = if is_wide && self.vote_start == VoteStart::Peaked { PEAKED_LR } else { FINE_TUNING_LR };
        }
    }
}

/// The learning rate of what follows gradients as floats do, for models of some hundred million weights.
const FINE_TUNING_LR: f32 = 1e-4;
/// That of votes with a peak at 0, most of which move no weight.
const PEAKED_LR: f32 = 2e-4;

fn is_f32(act: &Act) -> bool {
    *act == Act::F32
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            optimizer: Rule::Votes,
            steps: 1000,
            batch: 8,
            seq_len: 128,
            batch_frames: 3000,
            grad_accum: 1,
            lr: 4e-3,
            scale_lr: 0.1,
            group_scale_lr: 0.0,
            warmup: 50,
            seed: 1,
            votes: VoteBits::Eight,
            kappa: 1.0,
            threshold: None,
            full_range: false,
            divisor: Divisor::Root,
            forgets: false,
            vote_start: VoteStart::Zero,
            trains_table: None,
            regrids: false,
            gradient_rows: None,
            flips: Flips::Step,
            reduce: Reduce::InOrder,
            beta1: 0.9,
            beta2: 0.98,
            clip: 1.0,
            weight_decay: 0.0,
            rescale_every: 0,
            poltergeist_z: 1.0,
            recompute: Recompute::Auto,
            activations: Act::F32,
            logit_rows: None,
            answers_after: None,
            windows: Windows::Random,
            hold_out_test: false,
            validate_every: 100,
            validation_tokens: 32768,
            patience: 0,
            sample_every: 200,
            prompts: Vec::new(),
            checkpoint_every: 250,
            keep: 3,
        }
    }
}
