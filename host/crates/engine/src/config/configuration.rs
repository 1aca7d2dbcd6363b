//! A configuration: a model and its training, as TOML.

use primal_device::grid::{ScaleForm, VoteBits};
use serde::{Deserialize, Serialize};

use super::ghost_tts::GhostTtsConfig;
use super::gpt::GptConfig;
use super::messages::toml_error;
use super::rule::Rule;
use super::table::{Check, ModelTable};
use super::train::{Flips, Reduce, TrainConfig};
use crate::Result;
use crate::optim::ballot::{MOST_MICRO_BATCHES, SHARES_TOLD};
use crate::optim::tiles;

/// Steps of a run, at most: what is counted by them never overflows.
const MAX_STEPS: u64 = 1 << 40;

/// A model and its training; `M` says what kind of model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigOf<M> {
    /// What the network is.
    pub model: M,
    /// How the model is trained: the table `[train]`.
    pub train: TrainConfig,
}

/// A GPT and its training.
pub type Config = ConfigOf<GptConfig>;

/// GhostTTS and its training.
pub type SpeechConfig = ConfigOf<GhostTtsConfig>;

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

    /// The configuration in TOML.
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
        check.that((0.0..=1.0).contains(&t.group_scale_lr), "train.group_scale_lr", "0 to 1", &t.group_scale_lr)?;
        let flips = matches!(t.optimizer, Rule::Votes | Rule::Poltergeist);
        let expected = "0, but for the optimizers votes and poltergeist";
        check.that(t.group_scale_lr == 0.0 || flips, "train.group_scale_lr", expected, &t.group_scale_lr)?;
        let have_groups = self.model.scales() != ScaleForm::Row;
        let expected = "0, where model.scales are those of rows";
        check.that(t.group_scale_lr == 0.0 || have_groups, "train.group_scale_lr", expected, &t.group_scale_lr)?;
        check.that(t.kappa > 0.0 && t.kappa <= 1.0, "train.kappa", "above 0, at most 1", &t.kappa)?;
        let threshold = t.threshold.unwrap_or(0.5);
        check.that((0.5..=0.85).contains(&threshold), "train.threshold", "0.5 to 0.85", &threshold)?;
        check.that((0.0..1.0).contains(&t.beta1), "train.beta1", "0 to below 1", &t.beta1)?;
        check.that((0.0..1.0).contains(&t.beta2), "train.beta2", "0 to below 1", &t.beta2)?;
        check.that(t.clip > 0.0, "train.clip", "above 0", &t.clip)?;
        check.that((0.0..1.0).contains(&t.weight_decay), "train.weight_decay", "0 to below 1", &t.weight_decay)?;
        check.that(t.poltergeist_z.is_finite(), "train.poltergeist_z", "a finite number", &t.poltergeist_z)?;
        check.that(t.keep > 0, "train.keep", "at least 1", &t.keep)?;
        check.that(t.validation_tokens > 0, "train.validation_tokens", "at least 1", &t.validation_tokens)?;
        self.check_integers(&check)?;
        if let Some(rows) = t.gradient_rows {
            let key = "train.gradient_rows";
            let is_whole = rows > 0 && rows.is_multiple_of(tiles::MULTIPLE);
            check.that(is_whole, key, &format!("a multiple of {} above 0", tiles::MULTIPLE), &rows)?;
            let can_vote_in_turn = t.optimizer == Rule::Votes && t.reduce == Reduce::InOrder;
            let expected = "no such key (--gradient-rows 0), but for the optimizer votes where train.reduce is in-order";
            check.that(can_vote_in_turn, key, expected, &rows)?;
        }
        let (key, found) = ("train.reduce", if t.reduce == Reduce::Votes { "votes" } else { "gradients" });
        let is_vote = t.optimizer == Rule::Votes;
        check.that(t.reduce != Reduce::Votes || is_vote, key, "in-order or gradients, but for the votes optimizer", &found)?;
        check.that(
            t.reduce != Reduce::Gradients || t.optimizer != Rule::Poltergeist,
            key,
            "in-order with the poltergeist optimizer",
            &found,
        )?;
        check.that(
            !t.reduce.is_shared() || t.flips == Flips::Step,
            key,
            "in-order, where train.flips is after each micro-batch",
            &found,
        )?;
        let most = MOST_MICRO_BATCHES;
        let is_few = t.reduce != Reduce::Votes || t.grad_accum <= most;
        check.that(is_few, "train.grad_accum", &format!("1 to {most} where train.reduce is votes"), &t.grad_accum)?;
        // A micro-batch's share of 1 − β₂ has to be one that floats near 1 can tell.
        let is_told = t.reduce != Reduce::Votes || (1.0 - t.beta2) * SHARES_TOLD >= t.grad_accum as f32;
        let expected = format!("at most 1 − train.grad_accum / {SHARES_TOLD} where train.reduce is votes");
        check.that(is_told, "train.beta2", &expected, &t.beta2)?;
        let four_ok = t.votes == VoteBits::Eight || t.optimizer != Rule::Poltergeist;
        check.that(four_ok, "train.votes", "8 with the poltergeist optimizer", &4)
    }

    /// Checks that TOML, whose integers have signs, has room for those of the training.
    fn check_integers(&self, check: &Check) -> Result<()> {
        let train = serde_json::to_value(&self.train).expect("training is plain data");
        for (key, value) in train.as_object().into_iter().flatten() {
            if let Some(found) = value.as_u64().filter(|&found| i64::try_from(found).is_err()) {
                check.that(false, &format!("train.{key}"), &format!("at most {}", i64::MAX), &found)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn micro_batches_that_vote_together_need_a_share_of_beta2_that_floats_tell() {
        let config = |train: &str| {
            let text = format!(
                "[model]\ndim = 16\nlayers = 1\nheads = 1\ncontext = 16\ntokenizer = 'bytes'\ngrid = 'int4'\n[train]\nbatch = 1\nseq_len = 8\n{train}"
            );
            Config::parse(&text, "c.toml").map_err(|error| error.to_string())
        };
        assert!(config("reduce = 'votes'\ngrad_accum = 64\nbeta2 = 0.9999").is_ok());
        assert!(config("grad_accum = 64\nbeta2 = 0.99999").is_ok());
        let error = config("reduce = 'votes'\ngrad_accum = 64\nbeta2 = 0.99999").expect_err("a share of 1.6e-7");
        assert!(error.contains("train.beta2") && error.contains("0.99999"), "{error}");
        let error = config("reduce = 'votes'\ngrad_accum = 65536").expect_err("too many");
        assert!(error.contains("train.grad_accum") && error.contains("65536"), "{error}");
    }

    #[test]
    fn integers_that_toml_cannot_hold_are_refused_by_name() {
        let mut config = Config::parse(include_str!("../../../../../models/gpt-nano.toml"), "gpt-nano").expect("a configuration");
        config.train.seed = i64::MAX as u64;
        assert!(config.check("flags").is_ok() && config.to_toml().contains("9223372036854775807"));
        config.train.seed += 1;
        let error = config.check("flags").expect_err("too large").to_string();
        assert!(error.contains("train.seed") && error.contains("9223372036854775808"), "{error}");
    }
}
