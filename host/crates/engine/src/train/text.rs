//! Training and measuring text models.

use std::marker::PhantomData;

use super::task::{Draw, MAX_TERMS, Seen, Task, Validation};
use crate::backend::{AttentionShape, Backend};
use crate::config::{ConfigOf, Recompute, TextTable, TrainConfig};
use crate::memory::{Act, Plan, Span};
use crate::models::causal::HEAD;
use crate::models::gpt::Gpt;
use crate::models::text::{DecoderShape, TextDecoder, TextModel};
use crate::nn::embedding::TOKENS;
use crate::nn::parameters::Specs;
use crate::nn::{Parameters, Purpose};
use crate::ops::{Sum, by_id};
use crate::optim::Sink;
use crate::{Error, Result};

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

    /// Bytes of text that a token stands for.
    fn bytes_of(&self, token: u32) -> usize;
}

/// Masks all targets but those that follow `mark` on their line, of whose line the mark is among `inputs`.
fn keep_answers(mark: char, inputs: &[u32], targets: &mut [u32]) {
    let mut is_answer = false;
    for (&input, target) in inputs.iter().zip(targets) {
        is_answer = input == u32::from(mark) || is_answer && input != u32::from('\n');
        if !is_answer {
            *target = u32::MAX;
        }
    }
}

/// Targets that are not masked.
fn learnt(targets: &[u32]) -> usize {
    targets.iter().filter(|&&target| target != u32::MAX).count()
}

/// A micro-batch on the host.
pub struct HostBatch {
    inputs: Vec<u32>,
    order: Vec<u32>,
    /// For sorting: one for each id.
    places: Vec<u32>,
    targets: Vec<u32>,
    losses: Vec<f32>,
}

/// Tokens of a sample, at most.
const SAMPLED: usize = 384;

/// Learning to continue text, whatever the model.
pub struct TextTask<M: TextModel = Gpt>(PhantomData<fn() -> M>);

impl<M: TextModel> Task for TextTask<M> {
    type Config = M::Config;
    type Layers = M::Layers;
    type Model = M;
    type Sampler = M::Decoder;
    type Corpus = dyn TextSource;
    type Batch = HostBatch;

    const TERMS: &'static [(&'static str, f64)] = &[("cross_entropy", 1.0)];

    fn layers(config: &ConfigOf<M::Config>) -> (M::Layers, Specs) {
        let (layers, mut specs) = M::layers(&config.model, config.train.optimizer.is_float());
        let trains = config.train.trains_table;
        for spec in &mut specs.matrices {
            spec.is_frozen = match spec.name.as_str() {
                TOKENS => trains != Some(true),
                HEAD => trains == Some(false),
                _ => false,
            };
        }
        (layers, specs)
    }

    fn plan(config: &ConfigOf<M::Config>, layers: M::Layers, plan: &mut Plan) -> (M, M::Decoder) {
        let t = &config.train;
        let purpose = if t.recompute == Recompute::On { Purpose::TrainRecomputing(t.activations) } else { Purpose::Train(t.activations) };
        let shape = DecoderShape { context: config.model.context().min(SAMPLED), cache: Act::F16 };
        let sampler = M::plan_decoder(layers.clone(), shape, plan);
        (M::plan(layers, [t.batch, t.seq_len], config.model.logit_rows(t), purpose, plan), sampler)
    }

    fn attention(model: &M) -> AttentionShape {
        model.attention()
    }

    fn prepare<B: Backend>(model: &M, sampler: &M::Decoder, b: &mut B) {
        model.prepare(b);
        sampler.prepare(b);
    }

    fn batch(model: &M) -> HostBatch {
        let tokens = model.batch().losses.len();
        let words = || vec![0; tokens];
        HostBatch { inputs: words(), order: words(), places: vec![0; model.vocab()], targets: words(), losses: vec![0.0; tokens] }
    }

    fn draw(t: &TrainConfig, corpus: &dyn TextSource, draw: Draw, batch: &mut HostBatch) {
        corpus.sample(t.seed, draw, t.seq_len, &mut batch.inputs, &mut batch.targets);
        if let Some(mark) = t.answers_after {
            let rows = batch.inputs.chunks_exact(t.seq_len).zip(batch.targets.chunks_exact_mut(t.seq_len));
            rows.for_each(|(inputs, targets)| keep_answers(mark, inputs, targets));
        }
        by_id(&batch.inputs, &mut batch.places, &mut batch.order);
    }

    fn forward_backward<B: Backend>(
        t: &TrainConfig,
        model: &M,
        batch: &mut HostBatch,
        b: &mut B,
        p: &Parameters,
        sink: &mut Sink<'_>,
        sums: Span<f32>,
    ) -> Seen {
        let (tokens, learnt, spans) = (batch.inputs.len(), learnt(&batch.targets).max(1), model.batch());
        let gradient_scale = 1.0 / (learnt as f32 * t.grad_accum as f32);
        b.upload(spans.inputs, &batch.inputs);
        b.upload(spans.order, &batch.order);
        b.upload(spans.targets, &batch.targets);
        model.train(b, p, sink, gradient_scale);
        b.run(Sum { sum: sums, x: spans.losses.into() });
        Seen { values: [learnt as f64; MAX_TERMS], items: tokens as u64 }
    }

    fn validate<B: Backend>(
        t: &TrainConfig,
        model: &M,
        batch: &mut HostBatch,
        corpus: &dyn TextSource,
        b: &mut B,
        p: &Parameters,
    ) -> Result<Validation> {
        let (mut index, mut bytes) = (0, 0);
        let next = |inputs: &mut [u32], targets: &mut [u32]| {
            let filled = corpus.held_out(index, inputs, targets);
            index += 1;
            if let Some(mark) = t.answers_after {
                keep_answers(mark, &inputs[..filled], &mut targets[..filled]);
            }
            bytes += targets[..filled].iter().filter(|&&token| token != u32::MAX).map(|&token| corpus.bytes_of(token)).sum::<usize>();
            filled
        };
        let HostBatch { inputs, targets, losses, .. } = batch;
        let Measured { nats, tokens } = measure(b, p, model, [inputs, targets], losses, t.validation_tokens, next)?;
        if tokens == 0 {
            return Err(match t.answers_after {
                Some(mark) => {
                    let hint = "see that train.answers_after is the mark of the text's lines, or hold more text back";
                    Error::invalid("the validation text", format!("lines with an answer after {mark:?}"), "none", hint)
                }
                None => Error::invalid("the validation text", "2 tokens or more", "fewer", "hold more text back"),
            });
        }
        let mut terms = [0.0; MAX_TERMS];
        terms[0] = nats / tokens as f64;
        Ok(Validation { loss: terms[0], terms, nats_per_byte: Some(nats / bytes as f64), warnings: Vec::new() })
    }

    fn not_finite<B: Backend>(model: &M, _batch: &HostBatch, b: &mut B, sum: Span<f32>) -> Option<String> {
        model.not_finite(b, sum)
    }

    fn fingerprint(corpus: &dyn TextSource) -> u64 {
        corpus.fingerprint()
    }
}

/// The loss of a text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Sum of the losses of all tokens, in nats.
    pub nats: f64,
    /// Tokens whose targets are not masked.
    pub tokens: u64,
}

/// The loss of windows that `next` copies (see [`TextSource::held_out`]), until it has no more or the batch is done in which `most` tokens are reached.
/// The buffers have the places of a batch of the model.
///
/// # Errors
/// A device that failed.
pub fn measure<B: Backend, M: TextModel>(
    b: &mut B,
    p: &Parameters,
    model: &M,
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
        b.upload(model.batch().inputs, inputs);
        b.upload(model.batch().targets, targets);
        model.evaluate(b, p);
        b.download(model.batch().losses, losses);
        b.fault()?;
        all.nats += losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
        all.tokens += learnt(targets) as u64;
    }
    Ok(all)
}
