//! Training GhostTTS on a corpus of speech.

use std::collections::BTreeMap;

use super::task::{Draw, MAX_TERMS, Seen, Task, Validation};
use crate::Result;
use crate::backend::{AttentionShape, Backend};
use crate::config::{GhostTtsConfig, SpeechConfig, TrainConfig};
use crate::memory::{Plan, Span};
use crate::models::ghost_tts::{Capacity, FACTS_KEY, GhostTts, GhostTtsIds, Lengths, SpeechBatch, TERM_WEIGHTS, TERMS};
use crate::nn::parameters::Specs;
use crate::nn::{Parameters, Purpose};
use crate::ops::Sum;
use crate::optim::Sink;

/// Predictions that vary less than this share of the truth's standard deviation are flat: a voice without melody.
const FLAT: f64 = 0.1;

/// Utterances to learn from, in batches that fit the model.
pub trait SpeechSource {
    /// A hash of the data: a run resumes only on the same.
    fn fingerprint(&self) -> u64;

    /// What a checkpoint says of the data, as JSON.
    fn facts(&self) -> String;

    /// Natural logarithms in one unit of the scale of spectrograms.
    fn mel_std(&self) -> f32;

    /// Fills the training batch of that number: a function of it, the seed and the data alone.
    fn sample(&self, number: u64, batch: &mut SpeechBatch);

    /// Fills the batch of that index of what is held back; `false` beyond the last.
    fn held_out(&self, index: usize, batch: &mut SpeechBatch) -> bool;
}

/// A micro-batch on the host, and its rows.
pub struct LoadedBatch {
    batch: SpeechBatch,
    lengths: Option<Lengths>,
    /// Natural logarithms in one unit of the scale of its spectrograms.
    mel_std: f32,
}

/// Learning to speak.
pub struct SpeechTask;

impl Task for SpeechTask {
    type Config = GhostTtsConfig;
    type Layers = GhostTtsIds;
    type Model = GhostTts;
    type Sampler = ();
    type Corpus = dyn SpeechSource;
    type Batch = LoadedBatch;

    const TERMS: &'static [(&'static str, f64)] = &{
        let mut terms = [("", 0.0); TERMS.len()];
        let mut i = 0;
        while i < terms.len() {
            terms[i] = (TERMS[i], TERM_WEIGHTS[i] as f64);
            i += 1;
        }
        terms
    };

    fn layers(config: &SpeechConfig) -> (GhostTtsIds, Specs) {
        GhostTtsIds::new(&config.model, config.train.optimizer.is_float())
    }

    fn plan(config: &SpeechConfig, ids: GhostTtsIds, plan: &mut Plan) -> (GhostTts, ()) {
        let capacity = Capacity::of_frames(config.train.batch_frames);
        (GhostTts::plan(ids, &config.model, capacity, Purpose::Train(config.train.activations), plan), ())
    }

    fn attention(model: &GhostTts) -> AttentionShape {
        model.attention()
    }

    fn prepare<B: Backend>(model: &GhostTts, (): &(), b: &mut B) {
        model.prepare(b);
    }

    fn batch(model: &GhostTts) -> LoadedBatch {
        LoadedBatch { batch: model.batch(), lengths: None, mel_std: 1.0 }
    }

    fn draw(_t: &TrainConfig, corpus: &dyn SpeechSource, draw: Draw, batch: &mut LoadedBatch) {
        corpus.sample(draw.number(), &mut batch.batch);
        batch.mel_std = corpus.mel_std();
    }

    /// Its terms are means of different things, of which every micro-batch has about as many: each counts as much as another.
    fn weight(_: &TrainConfig, _: &dyn SpeechSource, _: Draw, _: &mut LoadedBatch) -> f64 {
        1.0
    }

    fn forward_backward<B: Backend>(
        model: &GhostTts,
        batch: &mut LoadedBatch,
        of_step: f64,
        b: &mut B,
        p: &Parameters,
        sink: &mut Sink<'_>,
        sums: Span<f32>,
    ) -> Seen {
        let lengths = model.load(b, &batch.batch);
        batch.lengths = Some(lengths);
        model.train(b, p, sink, &lengths, 1.0 / of_step as f32);
        for term in 0..TERMS.len() {
            b.run(Sum { sum: sums.slice(term, 1), x: model.losses(term, &lengths).into() });
        }
        let values = values(model, &lengths, batch.mel_std).map(|values| values * of_step);
        Seen { values, items: lengths.frames.rows() as u64 }
    }

    fn validate<B: Backend>(
        t: &TrainConfig,
        model: &GhostTts,
        loaded: &mut LoadedBatch,
        corpus: &dyn SpeechSource,
        b: &mut B,
        p: &Parameters,
    ) -> Result<Validation> {
        let frames = t.validation_tokens as usize;
        let (mut sums, mut counts, mut prosody, mut seen) = ([0.0; MAX_TERMS], [0.0; MAX_TERMS], Prosody::default(), 0);
        for index in 0.. {
            let batch = &mut loaded.batch;
            if seen >= frames || !corpus.held_out(index, batch) {
                break;
            }
            let lengths = model.load(b, batch);
            loaded.lengths = Some(lengths);
            model.evaluate(b, p, &lengths);
            for (term, (sum, count)) in sums.iter_mut().zip(&mut counts).enumerate() {
                let mut losses = vec![0.0f32; model.losses(term, &lengths).len()];
                b.download(model.losses(term, &lengths), &mut losses);
                *sum += losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
                *count += values(model, &lengths, corpus.mel_std())[term];
            }
            prosody.add(b, model, batch, &lengths);
            b.fault()?;
            seen += batch.frames();
        }
        let terms: [f64; MAX_TERMS] = std::array::from_fn(|term| sums[term] / counts[term]);
        Ok(Validation { loss: terms[1], terms, nats_per_byte: None, warnings: prosody.warnings() })
    }

    fn not_finite<B: Backend>(model: &GhostTts, batch: &LoadedBatch, b: &mut B, sum: Span<f32>) -> Option<String> {
        model.not_finite(b, batch.lengths.as_ref()?, sum)
    }

    fn fingerprint(corpus: &dyn SpeechSource) -> u64 {
        corpus.fingerprint()
    }

    fn metadata(corpus: &dyn SpeechSource) -> BTreeMap<String, String> {
        BTreeMap::from([(FACTS_KEY.to_string(), corpus.facts())])
    }
}

/// What the sums of terms are divided by: errors of the spectrogram are told in natural logarithms, not in standard deviations.
fn values(model: &GhostTts, lengths: &Lengths, mel_std: f32) -> [f64; MAX_TERMS] {
    std::array::from_fn(|term| {
        let scale = if term < 2 { f64::from(mel_std) } else { 1.0 };
        model.values(term, lengths) as f64 / scale
    })
}

/// Predicted pitch and energy beside the true ones.
#[derive(Default)]
struct Prosody {
    predicted: [Vec<f32>; 2],
    truth: [Vec<f32>; 2],
}

impl Prosody {
    fn add<B: Backend>(&mut self, b: &mut B, model: &GhostTts, batch: &SpeechBatch, lengths: &Lengths) {
        let [_, pitch, energy] = model.predictions(lengths);
        for (values, span) in self.predicted.iter_mut().zip([pitch, energy]) {
            let start = values.len();
            values.resize(start + span.len(), 0.0);
            b.download(span, &mut values[start..]);
        }
        for (values, more) in self.truth.iter_mut().zip([&batch.pitch, &batch.energy]) {
            values.extend(more);
        }
    }

    /// A warning for each of pitch and energy that hardly varies.
    fn warnings(&self) -> Vec<String> {
        let spread = |values: &[f32]| {
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
            (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
        };
        let names = ["pitch", "energy"].into_iter().zip(self.predicted.iter().zip(&self.truth));
        let flat = names.filter_map(|(name, (predicted, truth))| {
            let (found, expected) = (spread(predicted), spread(truth));
            (found < FLAT * expected).then(|| {
                format!("the predicted {name} is flat: its standard deviation is {found:.3}, that of the recordings {expected:.3}")
            })
        });
        flat.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_prosody_is_told_and_a_lively_one_is_not() {
        let truth = [vec![-1.0, 1.0, -2.0, 2.0], vec![0.0, 3.0, 0.0, 3.0]];
        let lively = Prosody { predicted: [vec![-0.5, 0.5, -1.0, 1.0], vec![1.0, 2.0, 1.0, 2.0]], truth: truth.clone() };
        assert_eq!(lively.warnings(), [""; 0]);
        let flat = Prosody { predicted: [vec![0.1, 0.0, 0.1, 0.0], vec![1.0, 2.0, 1.0, 2.0]], truth };
        let warnings = flat.warnings();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].starts_with("the predicted pitch is flat"), "{warnings:?}");
    }
}
