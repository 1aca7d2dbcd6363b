//! Training and measuring text models.

use std::marker::PhantomData;

use super::task::{Draw, MAX_TERMS, Seen, Task, Validation};
use crate::backend::{AttentionShape, Backend, Sequences};
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

    /// Fills a micro-batch of windows of `seq_len` tokens, one after another, and the token that follows each; or of documents of at most as many tokens,
    /// none of which sees another, and their lengths, with `u32::MAX` for what is not learnt. A function of `seed`, `draw` and the data alone.
    fn sample(&self, seed: u64, draw: Draw, seq_len: usize, inputs: &mut [u32], targets: &mut [u32], lengths: &mut Vec<u32>);

    /// As above, the `index`-th batch of what is held back, in order. Returns how many tokens it has: fewer in the last batch, and none beyond it.
    fn held_out(&self, index: u64, seq_len: usize, inputs: &mut [u32], targets: &mut [u32], lengths: &mut Vec<u32>) -> usize;

    /// Bytes of text that a token stands for.
    fn bytes_of(&self, token: u32) -> usize;
}

/// Fills the `index`-th batch with windows of `seq_len` tokens, until `window` has no more: of its number, inputs and targets it says how many tokens it
/// has.
pub fn windows(
    index: u64,
    seq_len: usize,
    inputs: &mut [u32],
    targets: &mut [u32],
    mut window: impl FnMut(u64, &mut [u32], &mut [u32]) -> usize,
) -> usize {
    let first = index * (inputs.len() / seq_len) as u64;
    let rows = inputs.chunks_exact_mut(seq_len).zip(targets.chunks_exact_mut(seq_len));
    (first..).zip(rows).map(|(number, (inputs, targets))| window(number, inputs, targets)).take_while(|&len| len > 0).sum()
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

/// The same in each window of `seq_len` tokens.
fn keep_all_answers(mark: char, seq_len: usize, inputs: &[u32], targets: &mut [u32]) {
    inputs.chunks_exact(seq_len).zip(targets.chunks_exact_mut(seq_len)).for_each(|(inputs, targets)| keep_answers(mark, inputs, targets));
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
    /// Of documents: the tokens of each.
    lengths: Vec<u32>,
}

impl HostBatch {
    /// Draws tokens, and those that are learnt.
    fn fill(&mut self, t: &TrainConfig, corpus: &dyn TextSource, draw: Draw) {
        self.lengths.clear();
        corpus.sample(t.seed, draw, t.seq_len, &mut self.inputs, &mut self.targets, &mut self.lengths);
        if let Some(mark) = t.answers_after {
            keep_all_answers(mark, t.seq_len, &self.inputs, &mut self.targets);
        }
    }

    /// Tokens of the batch.
    fn rows(&self) -> usize {
        if self.lengths.is_empty() { self.inputs.len() } else { self.lengths.iter().map(|&len| len as usize).sum() }
    }
}

/// Says on the device where the documents of these lengths lie; without any, all rows are windows.
fn place<B: Backend>(model: &impl TextModel, b: &mut B, lengths: &[u32]) -> Sequences {
    if lengths.is_empty() { model.attention().sequences } else { model.batch().place(b, lengths) }
}

/// Tokens that a sample has in view, at most.
const SAMPLE_CONTEXT: usize = 192;

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
        let (t, trains) = (&config.train, config.train.trains_table);
        let is_in_parts = config.model.logit_rows(t) < t.batch * t.seq_len;
        for spec in &mut specs.matrices {
            spec.is_product &= spec.name != HEAD || !is_in_parts;
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
        let shape = DecoderShape { context: config.model.context().min(SAMPLE_CONTEXT), cache: Act::F32 };
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
        let (places, losses, lengths) = (vec![0; model.vocab()], vec![0.0; tokens], Vec::with_capacity(model.batch().documents()));
        HostBatch { inputs: words(), order: words(), places, targets: words(), losses, lengths }
    }

    fn draw(t: &TrainConfig, corpus: &dyn TextSource, draw: Draw, batch: &mut HostBatch) {
        batch.fill(t, corpus, draw);
        let rows = batch.rows();
        by_id(&batch.inputs[..rows], &mut batch.places, &mut batch.order[..rows]);
    }

    /// Every token that is learnt counts as much as another, in whichever micro-batch it is.
    fn weight(t: &TrainConfig, corpus: &dyn TextSource, draw: Draw, batch: &mut HostBatch) -> f64 {
        batch.fill(t, corpus, draw);
        learnt(&batch.targets[..batch.rows()]) as f64
    }

    fn forward_backward<B: Backend>(
        model: &M,
        batch: &mut HostBatch,
        of_step: f64,
        b: &mut B,
        p: &Parameters,
        sink: &mut Sink<'_>,
        sums: Span<f32>,
    ) -> Seen {
        let (tokens, spans) = (batch.rows(), model.batch());
        // A step may have nothing to learn.
        let of_step = of_step.max(1.0);
        for (span, words) in [(spans.inputs, &batch.inputs), (spans.order, &batch.order), (spans.targets, &batch.targets)] {
            b.upload(span.slice(0, tokens), &words[..tokens]);
        }
        let sequences = place(model, b, &batch.lengths);
        model.train(b, p, sink, sequences, 1.0 / of_step as f32);
        b.run(Sum { sum: sums, x: spans.losses.slice(0, tokens).into() });
        Seen { values: [of_step; MAX_TERMS], items: tokens as u64 }
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
        let HostBatch { inputs, targets, losses, lengths, .. } = batch;
        let next = |b: &mut B, inputs: &mut [u32], targets: &mut [u32]| {
            lengths.clear();
            let filled = corpus.held_out(index, t.seq_len, inputs, targets, lengths);
            index += 1;
            if let Some(mark) = t.answers_after {
                keep_all_answers(mark, t.seq_len, inputs, targets);
            }
            bytes += targets.iter().filter(|&&token| token != u32::MAX).map(|&token| corpus.bytes_of(token)).sum::<usize>();
            (filled > 0).then(|| place(model, b, lengths))
        };
        let Measured { nats, tokens } = measure_batches(b, p, model, [inputs, targets], losses, t.validation_tokens, next)?;
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
        // What only ends texts has no bytes.
        let nats_per_byte = (bytes > 0).then(|| nats / bytes as f64);
        Ok(Validation { loss: terms[0], terms, nats_per_byte, warnings: Vec::new() })
    }

    fn not_finite<B: Backend>(model: &M, batch: &HostBatch, b: &mut B, sum: Span<f32>) -> Option<String> {
        let sequences = place(model, b, &batch.lengths);
        model.not_finite(b, sequences, sum)
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

/// The loss of windows that `next` copies, and the token that follows each, until it has no more or the batch is done in which `most` tokens are reached;
/// it says how many tokens a window has, which may be fewer than there is room for. The buffers have the places of a batch of the model.
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
    let sequences = model.attention().sequences;
    let batch = |_: &mut B, inputs: &mut [u32], targets: &mut [u32]| {
        let filled = windows(0, sequences.longest(), inputs, targets, |_, inputs, targets| next(inputs, targets));
        (filled > 0).then_some(sequences)
    };
    measure_batches(b, p, model, [inputs, targets], losses, most, batch)
}

/// The same of batches, of which `next` says what sequences they are: those of the model's attention, or documents from the first row on.
///
/// # Errors
/// A device that failed.
pub fn measure_batches<B: Backend, M: TextModel>(
    b: &mut B,
    p: &Parameters,
    model: &M,
    [inputs, targets]: [&mut [u32]; 2],
    losses: &mut [f32],
    most: u64,
    mut next: impl FnMut(&mut B, &mut [u32], &mut [u32]) -> Option<Sequences>,
) -> Result<Measured> {
    let mut all = Measured::default();
    while all.tokens < most {
        inputs.fill(0);
        targets.fill(u32::MAX);
        let Some(sequences) = next(b, inputs, targets) else { break };
        let rows = sequences.rows();
        b.upload(model.batch().inputs, inputs);
        b.upload(model.batch().targets, targets);
        model.evaluate(b, p, sequences);
        b.download(model.batch().losses.slice(0, rows), &mut losses[..rows]);
        b.fault()?;
        all.nats += losses[..rows].iter().map(|&loss| f64::from(loss)).sum::<f64>();
        all.tokens += learnt(targets) as u64;
    }
    Ok(all)
}
