//! What can be trained: a model with its data and its loss.

use std::collections::BTreeMap;

use crate::Result;
use crate::backend::{AttentionShape, Backend};
use crate::config::{ConfigOf, ModelTable, TrainConfig};
use crate::memory::{Plan, Span};
use crate::nn::Parameters;
use crate::nn::parameters::Specs;

use crate::optim::Sink;

/// The most terms that a loss has.
pub const MAX_TERMS: usize = 5;

/// Which batch to draw: a function of this, the seed and the data alone, so that a run resumes without a cursor.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// The step, from 0.
    pub step: u64,
    /// The micro-batch of the step.
    pub micro_batch: u32,
    /// Micro-batches of a step.
    pub of: u32,
}

impl Draw {
    /// The number of the micro-batch in the run, from 0.
    pub fn number(&self) -> u64 {
        self.step * u64::from(self.of) + u64::from(self.micro_batch)
    }
}

/// What a micro-batch held.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// What the sum of each term is divided by, to be a part of the step's mean.
    pub values: [f64; MAX_TERMS],
    /// Tokens or frames.
    pub items: u64,
}

/// A validation.
#[derive(Clone, Debug, Default)]
pub struct Validation {
    /// What the best checkpoint is chosen by.
    pub loss: f64,
    /// The means of the loss's terms, in the order of [`Task::TERMS`].
    pub terms: [f64; MAX_TERMS],
    /// The loss of a text over its bytes in place of its tokens, to compare models with other tokens.
    pub nats_per_byte: Option<f64>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What a [`Trainer`](super::trainer::Trainer) trains.
pub trait Task: Sized + 'static {
    /// The model's `[model]` table.
    type Config: ModelTable;
    /// The model's layers.
    type Layers;
    /// The model over its activations.
    type Model;
    /// What writes samples.
    type Sampler;
    /// What the model learns from.
    type Corpus: ?Sized;
    /// A micro-batch on the host.
    type Batch;

    /// The terms of the loss, and what each counts in it; at most [`MAX_TERMS`].
    const TERMS: &'static [(&'static str, f64)];

    /// Names all parameters.
    fn layers(config: &ConfigOf<Self::Config>) -> (Self::Layers, Specs);

    /// Reserves activations.
    fn plan(config: &ConfigOf<Self::Config>, layers: Self::Layers, plan: &mut Plan) -> (Self::Model, Self::Sampler);

    /// The largest attention of a step.
    fn attention(model: &Self::Model) -> AttentionShape;

    /// Writes the constants that the model and its sampler need besides parameters.
    fn prepare<B: Backend>(model: &Self::Model, sampler: &Self::Sampler, b: &mut B);

    /// Memory for a micro-batch.
    fn batch(model: &Self::Model) -> Self::Batch;

    /// Draws a micro-batch into the memory for it.
    fn draw(config: &TrainConfig, corpus: &Self::Corpus, draw: Draw, batch: &mut Self::Batch);

    /// What a micro-batch counts in its step. The memory for one may be written.
    fn weight(config: &TrainConfig, corpus: &Self::Corpus, draw: Draw, batch: &mut Self::Batch) -> f64;

    /// Forward and backward pass of a micro-batch: gives its gradients to the sink, those of the mean over all micro-batches of the step, which count
    /// `of_step` together, and writes the sums of the loss's terms to `sums`.
    fn forward_backward<B: Backend>(
        model: &Self::Model,
        batch: &mut Self::Batch,
        of_step: f64,
        b: &mut B,
        p: &Parameters,
        sink: &mut Sink<'_>,
        sums: Span<f32>,
    ) -> Seen;

    /// Measures what was learnt, on data held back.
    ///
    /// # Errors
    /// No such data; a device that failed.
    fn validate<B: Backend>(
        config: &TrainConfig,
        model: &Self::Model,
        batch: &mut Self::Batch,
        corpus: &Self::Corpus,
        b: &mut B,
        p: &Parameters,
    ) -> Result<Validation>;

    /// The first activation of the last batch that is not finite, by name; `sum` is one value of scratch.
    fn not_finite<B: Backend>(model: &Self::Model, batch: &Self::Batch, b: &mut B, sum: Span<f32>) -> Option<String>;

    /// A hash of the data: a run resumes only on the same.
    fn fingerprint(corpus: &Self::Corpus) -> u64;

    /// What checkpoints say besides the configuration, step and data.
    fn metadata(_corpus: &Self::Corpus) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}
