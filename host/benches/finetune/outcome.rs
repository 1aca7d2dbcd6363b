//! What runs came to, and which are wanted.

use serde::{Deserialize, Serialize};

use super::arms::{ARMS, Arm, COST_STEPS, Kind, SEEDS};
use super::phones::Words;
use super::rates;

/// One run of an arm.
#[derive(Clone, Copy)]
pub struct Run {
    pub arm: &'static Arm,
    pub lr: f32,
    pub seed: u64,
    /// Of the schedule.
    pub steps: u64,
}

impl Run {
    pub fn name(&self) -> String {
        format!("{}, lr {:e}, seed {}, {} steps", self.arm.name, self.lr, self.seed, self.done())
    }

    /// Its name, and what it needs.
    pub fn told(&self) -> String {
        let needs = if self.arm.kind.is_peer() { " (needs --python)" } else { "" };
        self.name() + needs
    }

    /// Steps that are done.
    pub fn done(&self) -> u64 {
        if self.arm.kind == Kind::TorchCost { COST_STEPS.min(self.steps) } else { self.steps }
    }

    pub fn folder(&self) -> String {
        let words = self.name().replace([',', '+'], "");
        words.split_whitespace().collect::<Vec<_>>().join("-")
    }

    /// What a run begins as: no figures yet.
    pub fn outcome(&self, data: &str) -> Outcome {
        Outcome { name: self.name(), arm: self.arm.name.into(), lr: self.lr, seed: self.seed, data: data.into(), ..Outcome::default() }
    }
}

/// What a run came to; one line of the results file.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Outcome {
    pub name: String,
    pub arm: String,
    pub lr: f32,
    pub seed: u64,
    /// The fingerprint of model and texts.
    pub data: String,
    pub steps: u64,
    pub tokens: u64,
    /// Validation loss of the last checkpoint, nats a token.
    pub validation: f64,
    /// Losses of the last checkpoint on the held-back text and on the other one, nats a token.
    pub test: f64,
    pub other: f64,
    /// The same once the weights are rounded to the grid that the model came on, for arms of floats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounded: Option<[f64; 2]>,
    /// Of a model that learns phones: what the last checkpoint answers, and what it does once rounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Words>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounded_words: Option<Words>,
    /// The rank of adapters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// Sum over the steps of the share of weights that flipped.
    pub flips: f64,
    /// A step without validation; other programs may have run.
    pub seconds: f64,
    pub threads: usize,
    /// Resident at most.
    pub peak_mib: f64,
    /// (step, validation loss).
    pub curve: Vec<(u64, f64)>,
}

/// The outcomes of an arm with so many steps.
pub fn of_arm<'a>(outcomes: &'a [Outcome], arm: &'static Arm, steps: u64) -> impl Iterator<Item = &'a Outcome> {
    let end = format!(", {} steps", Run { arm, lr: 0.0, seed: 0, steps }.done());
    outcomes.iter().filter(move |o| o.arm == arm.name && o.name.ends_with(&end))
}

/// All runs that are wanted by now: the rates of an arm with the first seed, then its best rate with the others.
pub fn wanted(outcomes: &[Outcome], learns_phones: bool, steps: u64) -> Vec<Run> {
    let arms = || arms(learns_phones);
    let first = |arm| rates_of(outcomes, arm, steps).into_iter().map(move |lr| Run { arm, lr, seed: SEEDS[0], steps });
    let mut runs: Vec<_> = arms().flat_map(first).collect();
    for arm in arms().filter(|arm| arm.kind.is_compared()) {
        let lr = best_rate(outcomes, arm, steps);
        runs.extend(SEEDS[1..].iter().filter_map(|&seed| Some(Run { arm, lr: lr?, seed, steps })));
    }
    runs
}

/// The arms of a table.
pub fn arms(learns_phones: bool) -> impl Iterator<Item = &'static Arm> {
    ARMS.iter().filter(move |arm| arm.learns_phones || !learns_phones)
}

/// The rates that an arm tries with the first seed: further ones where the best is the lowest or the highest.
fn rates_of(outcomes: &[Outcome], arm: &'static Arm, steps: u64) -> Vec<f32> {
    rates::wanted(arm.rates, |lr| loss(outcomes, arm, steps, lr))
}

/// The rate with the lowest validation loss, once all that are wanted have been tried.
pub fn best_rate(outcomes: &[Outcome], arm: &'static Arm, steps: u64) -> Option<f32> {
    rates::best(&rates_of(outcomes, arm, steps), |lr| loss(outcomes, arm, steps, lr))
}

/// The validation loss of an arm at a rate, with the first seed.
fn loss(outcomes: &[Outcome], arm: &'static Arm, steps: u64, lr: f32) -> Option<f64> {
    of_arm(outcomes, arm, steps).find(|o| o.seed == SEEDS[0] && o.lr == lr).map(|o| o.validation)
}
