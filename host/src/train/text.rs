//! Training GPTs on text.

use crate::Result;
use crate::arena::{Plan, Span};
use crate::backend::{AttentionShape, Backend, by_id};
use crate::config::{Config, ModelConfig, Recompute, Rule, TrainConfig};
use crate::data::{Corpus, Split};
use crate::model::gpt::Purpose;
use crate::model::parameters::Specs;
use crate::model::{Decoder, Gpt, GptIds, Parameters};

use super::learner::{Draw, Learner, MAX_TERMS, Seen, Validation};
use super::metrics::StepRecord;
use super::optimizer::Sink;
use super::progress::Progress;
use super::trainer::{StepStats, Trainer};

/// A micro-batch on the host.
pub struct TextBatch {
    inputs: Vec<u32>,
    order: Vec<u32>,
    /// For sorting: one for each id.
    places: Vec<u32>,
    targets: Vec<u32>,
    losses: Vec<f32>,
}

impl Learner for ModelConfig {
    type Ids = GptIds;
    type Model = Gpt;
    type Sampler = Decoder;
    type Corpus = Corpus;
    type Batch = TextBatch;

    const TERMS: &'static [(&'static str, f64)] = &[("cross_entropy", 1.0)];
    const COMMAND: &'static str = "train";

    fn name_parameters(config: &Config) -> (GptIds, Specs) {
        GptIds::new(&config.model, config.train.optimizer == Rule::Adamw)
    }

    fn plan(config: &Config, ids: GptIds, plan: &mut Plan) -> (Gpt, Decoder) {
        let t = &config.train;
        let purpose = if t.recompute == Recompute::On { Purpose::TrainRecomputing } else { Purpose::Train };
        let sampler = Decoder::plan(ids.clone(), &config.model, plan);
        (Gpt::plan(ids, &config.model, [t.batch, t.seq_len], config.model.logit_rows(t), purpose, plan), sampler)
    }

    fn attention(model: &Gpt) -> AttentionShape {
        model.attention()
    }

    fn batch(model: &Gpt) -> TextBatch {
        let tokens = model.tokens();
        let words = || vec![0; tokens];
        TextBatch { inputs: words(), order: words(), places: vec![0; model.vocab()], targets: words(), losses: vec![0.0; tokens] }
    }

    fn train<B: Backend>(
        t: &TrainConfig,
        model: &Gpt,
        batch: &mut TextBatch,
        corpus: &Corpus,
        draw: Draw,
        b: &mut B,
        p: &Parameters,
        sink: &mut Sink<'_>,
        sums: Span<f32>,
    ) -> Seen {
        let gradient_scale = 1.0 / (model.tokens() as f32 * t.grad_accum as f32);
        corpus.sample(t.seed, draw.step, draw.micro_batch, t.batch, t.seq_len, &mut batch.inputs, &mut batch.targets);
        by_id(&batch.inputs, &mut batch.places, &mut batch.order);
        b.upload(model.inputs, &batch.inputs);
        b.upload(model.order, &batch.order);
        b.upload(model.targets, &batch.targets);
        model.train(b, p, sink, gradient_scale);
        b.sum(sums, model.losses);
        Seen { values: [model.tokens() as f64; MAX_TERMS], items: model.tokens() as u64 }
    }

    fn validate<B: Backend>(trainer: &mut Trainer<B>, corpus: &Corpus) -> Result<Validation> {
        let loss = trainer.validate(corpus, Split::Validation, trainer.config.train.validation_tokens)?;
        let mut terms = [0.0; MAX_TERMS];
        terms[0] = loss;
        Ok(Validation { loss, terms, warnings: Vec::new() })
    }

    fn record(record: &mut StepRecord, stats: &StepStats, _validation: Option<&Validation>, seconds: f64) {
        record.tokens_per_second = Some(stats.items as f64 / seconds);
        // Every step has the same number of tokens.
        record.tokens = Some(record.step * stats.items);
    }

    fn show(progress: &Progress, step: u64, validation: &Validation) {
        progress.validation(step, validation.loss);
    }

    fn not_finite<B: Backend>(model: &Gpt, _batch: &TextBatch, b: &mut B, sum: Span<f32>) -> Option<String> {
        model.not_finite(b, sum)
    }

    fn fingerprint(corpus: &Corpus) -> u64 {
        corpus.fingerprint()
    }
}

impl<B: Backend> Trainer<B> {
    /// Mean loss in nats a token over the first windows of a split, at most `tokens` tokens.
    ///
    /// # Errors
    /// A split with no tokens; a loss that is not finite.
    pub fn validate(&mut self, corpus: &Corpus, split: Split, tokens: u64) -> Result<f64> {
        corpus.require_split(split)?;
        let (batch, seq) = (self.config.train.batch, self.config.train.seq_len);
        let (b, p, model) = (&mut self.backend, &self.layout.parameters, &self.layout.model);
        let mut windows = corpus.windows(split, seq);
        let (mut total, mut count) = (0.0f64, 0u64);
        while count < tokens {
            self.batch.inputs.fill(0);
            self.batch.targets.fill(u32::MAX);
            let mut filled = 0;
            for (row, window) in windows.by_ref().take(batch).enumerate() {
                let rows = row * seq..row * seq + window.len;
                corpus.read_window(window, &mut self.batch.inputs[rows.clone()], &mut self.batch.targets[rows]);
                filled += window.len as u64;
            }
            if filled == 0 {
                break;
            }
            b.upload(model.inputs, &self.batch.inputs);
            b.upload(model.targets, &self.batch.targets);
            model.evaluate(b, p);
            b.download(model.losses, &mut self.batch.losses);
            b.fault()?;
            total += self.batch.losses.iter().map(|&l| f64::from(l)).sum::<f64>();
            count += filled;
        }
        let loss = total / count as f64;
        if loss.is_finite() {
            return Ok(loss);
        }
        Err(self.validation_not_finite(loss))
    }
}
