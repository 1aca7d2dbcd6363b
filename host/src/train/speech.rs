//! Training GhostTTS on a corpus of speech.

use std::collections::BTreeMap;

use primal_device::philox::Stream;
use xxhash_rust::xxh3::Xxh3;

use super::learner::{Draw, Learner, MAX_TERMS, Seen, Validation};
use super::metrics::StepRecord;
use super::optimizer::Sink;
use super::progress::Progress;
use super::trainer::{StepStats, Trainer};
use crate::arena::{Plan, Span};
use crate::backend::Backend;
use crate::config::{GhostTtsConfig, Rule, SpeechConfig, TrainConfig};
use crate::model::Parameters;
use crate::model::ghost_tts::{self, Capacity, GhostTts, GhostTtsIds, Lengths, SpeechBatch, TERM_WEIGHTS, TERMS, Utterance, VoiceFacts};
use crate::model::gpt::Purpose;
use crate::model::parameters::Specs;
use crate::{Error, Result};

/// The random numbers of the batches are those of no tensor.
const DRAWS: u32 = u32::MAX;
/// Predictions that vary less than this share of the truth's standard deviation are flat: a voice without melody.
const FLAT: f64 = 0.1;

/// An utterance with its standardised spectrogram and prosody; see [`Utterance`].
#[derive(Clone, Debug, Default)]
pub struct Sentence {
    /// Its name.
    pub id: String,
    /// Indices of phones.
    pub phones: Vec<u32>,
    /// Frames of each phone.
    pub durations: Vec<u32>,
    /// Pitch of each phone.
    pub pitch: Vec<f32>,
    /// Energy of each phone.
    pub energy: Vec<f32>,
    /// `[frames, mels]`.
    pub mel: Vec<f32>,
}

impl Sentence {
    /// As the network sees it.
    pub fn utterance(&self) -> Utterance<'_> {
        Utterance { phones: &self.phones, durations: &self.durations, pitch: &self.pitch, energy: &self.energy, mel: &self.mel }
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.utterance().frames()
    }
}

/// What a voice is trained on and measured by.
#[derive(Clone, Debug)]
pub struct SpeechData {
    /// For training.
    pub train: Vec<Sentence>,
    /// For validation.
    pub held_out: Vec<Sentence>,
    /// Scales of the training data.
    pub facts: VoiceFacts,
    fingerprint: u64,
}

impl SpeechData {
    /// Standardises sentences by the scales of those for training.
    pub fn new(mut train: Vec<Sentence>, mut held_out: Vec<Sentence>, mels: usize) -> Self {
        let facts = VoiceFacts::of(
            mels,
            train.iter().map(|sentence| &sentence.mel[..]),
            train.iter().flat_map(|sentence| sentence.pitch.iter().copied()),
            train.iter().flat_map(|sentence| sentence.energy.iter().copied()),
        );
        let mut fingerprint = Xxh3::new();
        for sentence in train.iter_mut().chain(&mut held_out) {
            for values in [&sentence.pitch, &sentence.energy, &sentence.mel] {
                fingerprint.update(bytemuck::cast_slice(values));
            }
            for ids in [&sentence.phones, &sentence.durations] {
                fingerprint.update(bytemuck::cast_slice(ids));
            }
            facts.standardise_mel(&mut sentence.mel);
            sentence.pitch.iter_mut().for_each(|value| *value = facts.pitch.standardise(*value));
            sentence.energy.iter_mut().for_each(|value| *value = facts.energy.standardise(*value));
        }
        Self { train, held_out, facts, fingerprint: fingerprint.digest() }
    }

    /// Checks that there is something to train on and to validate on, and that each sentence fits into a batch.
    ///
    /// # Errors
    /// Bad input that names what is missing or does not fit.
    pub fn require(&self, capacity: Capacity) -> Result<()> {
        for (what, sentences) in [("training", &self.train), ("validation", &self.held_out)] {
            if sentences.is_empty() {
                return Err(Error::bad_input("--data", format!("at least one utterance for {what}"), 0, "give a larger corpus"));
            }
            let fits = |s: &Sentence| s.phones.len() <= capacity.phones && s.frames() <= capacity.frames;
            if let Some(sentence) = sentences.iter().find(|sentence| !fits(sentence)) {
                return Err(Error::bad_input(
                    format!("--data: utterance {}", sentence.id),
                    format!("at most {} frames and {} phones", capacity.frames, capacity.phones),
                    format!("{} frames and {} phones", sentence.frames(), sentence.phones.len()),
                    "raise --batch-frames, or remove it from the corpus",
                ));
            }
        }
        Ok(())
    }

    /// Fills a batch with random sentences, until one does not fit.
    fn draw(&self, batch: &mut SpeechBatch, capacity: Capacity, seed: u64, number: u64) {
        batch.clear();
        let random = Stream::new(seed, DRAWS, number);
        for i in 0.. {
            let [high, low, ..] = random.words(i);
            let word = u64::from(high) << 32 | u64::from(low);
            // The high half of a product maps 64 random bits to the indices with a bias below 2^-32.
            let index = ((u128::from(word) * self.train.len() as u128) >> 64) as usize;
            let sentence = &self.train[index];
            if !capacity.has_room(batch, sentence.phones.len(), sentence.frames()) {
                break;
            }
            batch.push(&sentence.utterance());
        }
    }
}

/// A micro-batch on the host, and its rows.
pub struct LoadedBatch {
    batch: SpeechBatch,
    lengths: Option<Lengths>,
}

impl Learner for GhostTtsConfig {
    type Ids = GhostTtsIds;
    type Model = GhostTts;
    type Sampler = ();
    type Corpus = SpeechData;
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
    const COMMAND: &'static str = "tts-train";

    fn name_parameters(config: &SpeechConfig) -> (GhostTtsIds, Specs) {
        GhostTtsIds::new(&config.model, config.train.optimizer == Rule::Adamw)
    }

    fn plan(config: &SpeechConfig, ids: GhostTtsIds, plan: &mut Plan) -> (GhostTts, ()) {
        let capacity = Capacity::of_frames(config.train.batch_frames);
        (GhostTts::plan(ids, &config.model, capacity, Purpose::Train, plan), ())
    }

    fn prepare<B: Backend>(model: &GhostTts, b: &mut B) {
        model.prepare(b);
    }

    fn batch(model: &GhostTts) -> LoadedBatch {
        LoadedBatch { batch: model.batch(), lengths: None }
    }

    fn train<B: Backend>(
        t: &TrainConfig,
        model: &GhostTts,
        batch: &mut LoadedBatch,
        corpus: &SpeechData,
        draw: Draw,
        b: &mut B,
        p: &Parameters,
        sink: &mut Sink<'_>,
        sums: Span<f32>,
    ) -> Seen {
        let number = draw.step * u64::from(t.grad_accum) + u64::from(draw.micro_batch);
        corpus.draw(&mut batch.batch, model.capacity, t.seed, number);
        let lengths = model.load(b, &batch.batch);
        batch.lengths = Some(lengths);
        model.train(b, p, sink, &lengths, 1.0 / t.grad_accum as f32);
        for term in 0..TERMS.len() {
            b.sum(sums.slice(term, 1), model.losses(term, &lengths));
        }
        Seen { values: values(model, &lengths, &corpus.facts), items: lengths.frames.rows() as u64 }
    }

    fn validate<B: Backend>(trainer: &mut Trainer<B, Self>, corpus: &SpeechData) -> Result<Validation> {
        let frames = trainer.config.train.validation_tokens as usize;
        let (b, p, model, loaded) = (&mut trainer.backend, &trainer.layout.parameters, &trainer.layout.model, &mut trainer.batch);
        let (mut sums, mut counts, mut prosody) = ([0.0; MAX_TERMS], [0.0; MAX_TERMS], Prosody::default());
        let (mut sentences, mut seen) = (corpus.held_out.iter().peekable(), 0);
        while seen < frames && sentences.peek().is_some() {
            let batch = &mut loaded.batch;
            batch.clear();
            while let Some(sentence) = sentences.next_if(|s| model.capacity.has_room(batch, s.phones.len(), s.frames())) {
                batch.push(&sentence.utterance());
            }
            let lengths = model.load(b, batch);
            loaded.lengths = Some(lengths);
            model.evaluate(b, p, &lengths);
            for (term, (sum, count)) in sums.iter_mut().zip(&mut counts).enumerate() {
                let mut losses = vec![0.0f32; model.losses(term, &lengths).len()];
                b.download(model.losses(term, &lengths), &mut losses);
                *sum += losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
                *count += values(model, &lengths, &corpus.facts)[term];
            }
            prosody.add(b, model, batch, &lengths);
            seen += batch.frames();
        }
        let terms: [f64; MAX_TERMS] = std::array::from_fn(|term| sums[term] / counts[term]);
        if let Some(bad) = terms.iter().find(|term| !term.is_finite()) {
            return Err(trainer.validation_not_finite(*bad));
        }
        Ok(Validation { loss: terms[1], terms, warnings: prosody.warnings() })
    }

    fn record(record: &mut StepRecord, stats: &StepStats, validation: Option<&Validation>, seconds: f64) {
        record.frames_per_second = Some(stats.items as f64 / seconds);
        record.losses = Some(named(&stats.terms));
        record.validation_losses = validation.map(|validation| named(&validation.terms));
    }

    fn show(progress: &Progress, step: u64, validation: &Validation) {
        let terms: Vec<String> = TERMS.iter().zip(&validation.terms).map(|(name, term)| format!("{name} {term:.4}")).collect();
        progress.print(&format!("step {step}: validation loss {:.4} ({})", validation.loss, terms.join(", ")));
        for warning in &validation.warnings {
            progress.print(&format!("step {step}: warning: {warning}"));
        }
    }

    fn not_finite<B: Backend>(model: &GhostTts, batch: &LoadedBatch, b: &mut B, sum: Span<f32>) -> Option<String> {
        model.not_finite(b, batch.lengths.as_ref()?, sum)
    }

    fn fingerprint(corpus: &SpeechData) -> u64 {
        corpus.fingerprint
    }

    fn metadata(corpus: &SpeechData) -> BTreeMap<String, String> {
        BTreeMap::from([(ghost_tts::FACTS_KEY.to_string(), corpus.facts.to_json())])
    }
}

fn named(terms: &[f64; MAX_TERMS]) -> BTreeMap<String, f64> {
    TERMS.iter().zip(terms).map(|(name, &term)| (name.to_string(), term)).collect()
}

/// What the sums of terms are divided by: errors of the spectrogram are told in natural logarithms, not in standard deviations.
fn values(model: &GhostTts, lengths: &Lengths, facts: &VoiceFacts) -> [f64; MAX_TERMS] {
    std::array::from_fn(|term| {
        let scale = if term < 2 { f64::from(facts.mel_std) } else { 1.0 };
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

    /// One for each that hardly varies.
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
