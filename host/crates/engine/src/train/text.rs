//! Training GPTs on text.

use crate::backend::{AttentionShape, Backend};
use crate::config::{Config, ModelConfig, Recompute, TrainConfig};
use crate::memory::{Plan, Span};
use crate::models::gpt::{Decoder, Gpt, GptIds};
use crate::nn::parameters::Specs;
use crate::nn::{Parameters, Purpose};
use crate::ops::{Sum, by_id};
use crate::{Error, Result};

use super::learner::{Draw, Learner, MAX_TERMS, Seen, Validation};
use super::trainer::Trainer;
use crate::optim::Sink;

/// Tokens to learn from.
pub trait TextSource {
    /// A hash of the data: a run resumes only on the same.
    fn fingerprint(&self) -> u64;

    /// Fills a micro-batch of windows of `seq_len` tokens, one after another, and the token that follows each: a function of `seed`, `draw` and
    /// the data alone.
    fn sample(&self, seed: u64, draw: Draw, seq_len: usize, inputs: &mut [u32], targets: &mut [u32]);

    /// Copies the `index`-th window of `inputs.len()` tokens of what is held back, and the token that follows each. Returns how many there are: fewer in
    /// the last window, and none beyond it.
    fn held_out(&self, index: u64, inputs: &mut [u32], targets: &mut [u32]) -> usize;
}

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
    type Corpus = dyn TextSource;
    type Batch = TextBatch;

    const TERMS: &'static [(&'static str, f64)] = &[("cross_entropy", 1.0)];

    fn name_parameters(config: &Config) -> (GptIds, Specs) {
        GptIds::new(&config.model, config.train.optimizer.is_float())
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
        corpus: &dyn TextSource,
        draw: Draw,
        b: &mut B,
        p: &Parameters,
        sink: &mut Sink<'_>,
        sums: Span<f32>,
    ) -> Seen {
        let gradient_scale = 1.0 / (model.tokens() as f32 * t.grad_accum as f32);
        corpus.sample(t.seed, draw, t.seq_len, &mut batch.inputs, &mut batch.targets);
        by_id(&batch.inputs, &mut batch.places, &mut batch.order);
        b.upload(model.inputs, &batch.inputs);
        b.upload(model.order, &batch.order);
        b.upload(model.targets, &batch.targets);
        model.train(b, p, sink, gradient_scale);
        b.run(Sum { sum: sums, x: model.losses });
        Seen { values: [model.tokens() as f64; MAX_TERMS], items: model.tokens() as u64 }
    }

    fn validate<B: Backend>(trainer: &mut Trainer<B>, corpus: &dyn TextSource) -> Result<Validation> {
        let mut index = 0;
        let next = |inputs: &mut [u32], targets: &mut [u32]| {
            index += 1;
            corpus.held_out(index - 1, inputs, targets)
        };
        let loss = trainer.measure(trainer.config.train.validation_tokens, next)?;
        let mut terms = [0.0; MAX_TERMS];
        terms[0] = loss;
        Ok(Validation { loss, terms, warnings: Vec::new() })
    }

    fn not_finite<B: Backend>(model: &Gpt, _batch: &TextBatch, b: &mut B, sum: Span<f32>) -> Option<String> {
        model.not_finite(b, sum)
    }

    fn fingerprint(corpus: &dyn TextSource) -> u64 {
        corpus.fingerprint()
    }
}

impl<B: Backend> Trainer<B> {
    /// Mean loss in nats a token of at most `tokens` tokens (to the end of the last batch) in windows that `next` copies: see
    /// [`TextSource::held_out`].
    ///
    /// # Errors
    /// No tokens; a loss that is not finite.
    pub fn measure(&mut self, tokens: u64, next: impl FnMut(&mut [u32], &mut [u32]) -> usize) -> Result<f64> {
        let (p, model) = (&self.layout.parameters, &self.layout.model);
        let TextBatch { inputs, targets, losses, .. } = &mut self.batch;
        let Measured { nats, tokens } = measure(&mut self.backend, p, model, [inputs, targets], losses, tokens, next)?;
        if tokens == 0 {
            return Err(Error::invalid("the validation text", "2 tokens or more", "fewer", "hold more text back"));
        }
        let loss = nats / tokens as f64;
        if loss.is_finite() { Ok(loss) } else { Err(self.validation_not_finite(loss)) }
    }
}

/// The loss of a text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Sum of the losses of all tokens, in nats.
    pub nats: f64,
    /// Tokens.
    pub tokens: u64,
}

/// The loss of windows that `next` copies (see [`TextSource::held_out`]), until it has no more or the batch is done in which `most` tokens are reached.
/// The buffers have the places of a batch of the model.
///
/// # Errors
/// A device that failed.
pub fn measure<B: Backend>(
    b: &mut B,
    p: &Parameters,
    model: &Gpt,
    [inputs, targets]: [&mut [u32]; 2],
    losses: &mut [f32],
    most: u64,
    mut next: impl FnMut(&mut [u32], &mut [u32]) -> usize,
) -> Result<Measured> {
    let seq_len = model.attention().sequences.longest();
    let mut all = Measured::default();
    while all.tokens < most {
        inputs.fill(0);
        targets.fill(u32::MAX);
        let rows = inputs.chunks_exact_mut(seq_len).zip(targets.chunks_exact_mut(seq_len));
        let filled: usize = rows.map(|(inputs, targets)| next(inputs, targets)).take_while(|&len| len > 0).sum();
        if filled == 0 {
            break;
        }
        b.upload(model.inputs, inputs);
        b.upload(model.targets, targets);
        model.evaluate(b, p);
        b.download(model.losses, losses);
        b.fault()?;
        all.nats += losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
        all.tokens += filled as u64;
    }
    Ok(all)
}
