//! Configurations: what a model is and how it is trained, as TOML.

mod by_name;
pub(crate) mod rule;
mod speech;
mod text;
mod tokenizer;

use primal_device::grid::VoteBits;
use serde::{Deserialize, Serialize};

pub use rule::{RULES, Rule, rule};
pub use speech::GhostTtsConfig;
pub use text::{MAX_CONTEXT, ModelConfig};
pub use tokenizer::Tokenizer;

use crate::{Error, Result};

/// Steps of a run, at most: what is counted by them never overflows.
const MAX_STEPS: u64 = 1 << 40;

/// A model and its training; `M` says what kind of model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigOf<M> {
    /// What the network is.
    pub model: M,
    /// How it learns.
    pub train: TrainConfig,
}

/// A text model and its training.
pub type Config = ConfigOf<ModelConfig>;

/// A speech model and its training.
pub type SpeechConfig = ConfigOf<GhostTtsConfig>;

/// The `[model]` table of a configuration.
pub trait ModelTable: Clone + std::fmt::Debug + Serialize + serde::de::DeserializeOwned {
    /// What it is a model of, for errors.
    const KIND: &'static str;

    /// Sets what a new run must keep, and what a configuration need not say.
    fn complete(&self, _train: &mut TrainConfig) {}

    /// Checks the ranges of all values, and those of the training that depend on the model.
    ///
    /// # Errors
    /// The first value out of range.
    fn check(&self, train: &TrainConfig, check: &Check) -> Result<()>;
}

/// Checks values of a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// The file or name, for errors.
    pub origin: &'a str,
}

impl Check<'_> {
    /// Whether it is `ok`.
    ///
    /// # Errors
    /// It is not.
    pub fn that(&self, ok: bool, key: &str, expected: &str, found: &dyn std::fmt::Display) -> Result<()> {
        let origin = self.origin;
        let hint = format!("change {key} in {origin}, or by its flag");
        if ok { Ok(()) } else { Err(Error::invalid(format!("{origin}: {key}"), expected, found, hint)) }
    }

    /// A width and the heads that divide it.
    fn width(&self, dim: usize, heads: usize) -> Result<()> {
        self.that((1..=16384).contains(&dim), "model.dim", "1 to 16384", &dim)?;
        self.that(heads > 0 && dim.is_multiple_of(heads.max(1)), "model.heads", &format!("a divisor of dim = {dim}"), &heads)
    }
}

/// The names of grids, for errors.
pub const GRIDS: &str = "prime13, prime15, fine15 or uniform15";
/// The bits that a vote can have, for errors.
pub const VOTES: &str = "4 or 8";

/// When flips happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flips {
    /// Once a step.
    Step,
    /// After each micro-batch.
    MicroBatch,
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

/// How a model is trained.
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
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// Seed of start values, data order and flips.
    pub seed: u64,
    /// Bits of a vote: 8 or 4.
    #[serde(with = "by_name::vote_bits")]
    pub votes: VoteBits,
    /// Share of a full vote that a flip consumes.
    pub kappa: f32,
    /// Flips once a step, or after each micro-batch.
    pub flips: Flips,
    /// Decay of the first moments of float parameters.
    pub beta1: f32,
    /// Decay of all second moments.
    pub beta2: f32,
    /// Largest gradient norm of the float parameters.
    pub clip: f32,
    /// Decoupled weight decay of embeddings (and of the float twin's weights).
    pub weight_decay: f32,
    /// Every so many steps until 80 % of the run, rows with many weights at a rail get a wider scale; 0 for never.
    pub rescale_every: u64,
    /// `poltergeist`: votes are cast above mean + z·std.
    pub poltergeist_z: f32,
    /// Run blocks twice to save memory.
    pub recompute: Recompute,
    /// Of text: rows of logits held at a time. New runs get 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit_rows: Option<usize>,
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
    /// Save every so many steps; 0 for only at the end.
    pub checkpoint_every: u64,
    /// Checkpoints to keep besides the best.
    pub keep: usize,
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
            warmup: 50,
            seed: 1,
            votes: VoteBits::Eight,
            kappa: 1.0,
            flips: Flips::Step,
            beta1: 0.9,
            beta2: 0.98,
            clip: 1.0,
            weight_decay: 0.0,
            rescale_every: 0,
            poltergeist_z: 1.0,
            recompute: Recompute::Auto,
            logit_rows: None,
            hold_out_test: false,
            validate_every: 100,
            validation_tokens: 32768,
            patience: 0,
            sample_every: 200,
            checkpoint_every: 250,
            keep: 3,
        }
    }
}

impl<M: ModelTable> ConfigOf<M> {
    /// Parses TOML; `origin` is the file or name for errors.
    ///
    /// # Errors
    /// TOML that does not parse, unknown keys, values out of range.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        let config: Self = toml::from_str(text).map_err(|error| toml_error(&error, text, origin))?;
        config.check(origin)?;
        Ok(config)
    }

    /// The TOML of it.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is plain data")
    }

    /// Checks the ranges of all values.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn check(&self, origin: &str) -> Result<()> {
        let (t, check) = (&self.train, Check { origin });
        self.model.check(t, &check)?;
        check.that((1..=MAX_STEPS).contains(&t.steps), "train.steps", &format!("1 to {MAX_STEPS}"), &t.steps)?;
        check.that((1..=65536).contains(&t.grad_accum), "train.grad_accum", "1 to 65536", &t.grad_accum)?;
        check.that(t.lr > 0.0 && t.lr <= 1.0, "train.lr", "above 0, at most 1", &t.lr)?;
        check.that((0.0..=1.0).contains(&t.scale_lr), "train.scale_lr", "0 to 1", &t.scale_lr)?;
        check.that(t.kappa > 0.0 && t.kappa <= 1.0, "train.kappa", "above 0, at most 1", &t.kappa)?;
        check.that((0.0..1.0).contains(&t.beta1), "train.beta1", "0 to below 1", &t.beta1)?;
        check.that((0.0..1.0).contains(&t.beta2), "train.beta2", "0 to below 1", &t.beta2)?;
        check.that(t.clip > 0.0, "train.clip", "above 0", &t.clip)?;
        check.that((0.0..1.0).contains(&t.weight_decay), "train.weight_decay", "0 to below 1", &t.weight_decay)?;
        check.that(t.poltergeist_z.is_finite(), "train.poltergeist_z", "a finite number", &t.poltergeist_z)?;
        check.that(t.keep > 0, "train.keep", "at least 1", &t.keep)?;
        let four_ok = t.votes == VoteBits::Eight || t.optimizer != Rule::Poltergeist;
        check.that(four_ok, "train.votes", "8 with the poltergeist optimizer", &4)
    }
}

/// The candidate most like `name`, if one is near.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|c| (strsim::jaro_winkler(name, c), c));
    scored.filter(|(score, _)| *score > 0.7).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, c)| c)
}

/// What is wrong with the TOML of `origin`. serde says "unknown field `x`, expected one of `a`, `b`": names the nearest.
pub fn toml_error(error: &toml::de::Error, text: &str, origin: &str) -> Error {
    let message = error.message();
    let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let mut quoted = message.split('`').skip(1).step_by(2);
    let hint = match quoted.next() {
        Some(unknown) if message.starts_with("unknown") => match nearest(unknown, quoted) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "remove it, or take one of those expected".into(),
        },
        _ => "correct the line; the config.toml of any run shows how keys are written".into(),
    };
    let (found, expected) = message.split_once(", expected ").unwrap_or((message, "a configuration in TOML"));
    Error::invalid(format!("{origin}, line {line}"), expected.trim_end(), found.trim_end(), hint)
}

/// Bits of a vote as a number.
pub fn bits_of(bits: VoteBits) -> i64 {
    if bits == VoteBits::Four { 4 } else { 8 }
}

/// Votes of so many bits.
pub fn votes_of(bits: i64) -> Option<VoteBits> {
    match bits {
        4 => Some(VoteBits::Four),
        8 => Some(VoteBits::Eight),
        _ => None,
    }
}
