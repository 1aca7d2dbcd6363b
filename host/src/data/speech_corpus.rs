//! A corpus of speech: a folder of sounds (WAV or FLAC), and for each what is said, in which phones, and how many frames each phone lasts.
//!
//! `train.jsonl` and `heldout.jsonl` have one object a line: `id`, `text`, `phones` (names), `durations_frames`, `n_frames` (their sum) and
//! `wav` (relative to the folder). `models/voices/slt/make_corpus.py` writes such a folder.

use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::speech_features::Features;
use super::utterance::{MAKE, Utterance};
use crate::{Error, Result, input, sound};
use primal_speech::Phone;
use primal_speech::flac;
use primal_speech::mel::MelSettings;
use primal_speech::prosody::{Normal, Statistics, fill_gaps};

/// Standardised pitch and energy stay within so many deviations: a few errors of the pitch tracker and the depth of silence are not worth a
/// predictor's efforts.
const CLIP: f32 = 3.0;

/// A part of a speech corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeechSplit {
    /// `train.jsonl`
    Train,
    /// `heldout.jsonl`
    HeldOut,
}

impl SpeechSplit {
    fn file(self) -> &'static str {
        match self {
            Self::Train => "train.jsonl",
            Self::HeldOut => "heldout.jsonl",
        }
    }
}

/// An open speech corpus.
pub struct SpeechCorpus {
    /// The training utterances, then those held out.
    utterances: Vec<Utterance>,
    train: usize,
    features: Features,
    settings: MelSettings,
    statistics: Statistics,
    fingerprint: u64,
    name: String,
}

impl SpeechCorpus {
    /// Opens a folder, checks it, and computes its features, or takes them from a file in `cache`.
    ///
    /// # Errors
    /// Bad input that names file and line; I/O errors of the cache.
    pub fn open(folder: &Path, settings: &MelSettings, cache: Option<&Path>) -> Result<Self> {
        settings.validate("mel settings")?;
        if !folder.is_dir() {
            let found = if folder.exists() { "a file" } else { "nothing there" };
            return Err(Error::bad_input(folder.display(), "the folder of a speech corpus", found, MAKE));
        }
        let mut hash = Xxh3::new();
        hash.update(format!("{settings:?}").as_bytes());
        let mut utterances = Vec::new();
        let mut train = 0;
        for split in [SpeechSplit::Train, SpeechSplit::HeldOut] {
            train = utterances.len();
            read_split(&folder.join(split.file()), &mut utterances, &mut hash)?;
        }
        let sounds: Vec<u64> = utterances
            .par_iter()
            .map(|utterance| {
                let path = folder.join(&utterance.wav);
                let hint = format!("it is the sound of {}; {MAKE}", utterance.id);
                let bytes = input::read(&path, input::SOUND, &hint)?;
                let hash = xxh3_64(&bytes);
                // Before anything is as large as the durations say: 44 bytes of a WAV are its header.
                let samples = if bytes.starts_with(flac::MAGIC) {
                    sound::decode(&path, bytes, settings.sampling_rate)?.len()
                } else {
                    bytes.len().saturating_sub(44) / 2
                };
                if utterance.frames.saturating_mul(settings.hop_size) > samples {
                    return Err(utterance.too_short(&path, settings, format!("{samples} samples")));
                }
                Ok(hash)
            })
            .collect::<Result<_>>()?;
        hash.update(bytemuck::cast_slice(&sounds));
        let fingerprint = hash.digest();
        let features = Features::open(folder, &utterances, settings, fingerprint, cache)?;
        let statistics = statistics(&features, &utterances[..train], settings.num_mels);
        standardise(&mut utterances, &features, &statistics);
        Ok(Self { utterances, train, features, settings: *settings, statistics, fingerprint, name: folder.display().to_string() })
    }

    /// The utterances of a split.
    pub fn utterances(&self, split: SpeechSplit) -> &[Utterance] {
        &self.utterances[self.range(split)]
    }

    /// Log-mel of an utterance of this corpus: `[frames, num_mels]`.
    pub fn mel(&self, utterance: &Utterance) -> &[f32] {
        let width = self.settings.num_mels;
        &self.features.mel()[utterance.first_frame * width..][..utterance.frames * width]
    }

    /// The settings of its mel.
    pub fn settings(&self) -> &MelSettings {
        &self.settings
    }

    /// What its features are standardised by: statistics of the training split.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// A hash of settings and contents: the same for the same data wherever it lies. Kept in checkpoints, so that resuming on other data is
    /// noticed.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Frames of a split.
    pub fn frames(&self, split: SpeechSplit) -> usize {
        self.utterances(split).iter().map(|utterance| utterance.frames).sum()
    }

    /// One line for the user.
    pub fn describe(&self) -> String {
        let part = |split| {
            let minutes = self.settings.seconds(self.frames(split)) / 60.0;
            format!("{} utterances ({minutes:.1} min)", self.utterances(split).len())
        };
        format!("{}: {} for training, {} held out", self.name, part(SpeechSplit::Train), part(SpeechSplit::HeldOut))
    }

    fn range(&self, split: SpeechSplit) -> Range<usize> {
        match split {
            SpeechSplit::Train => 0..self.train,
            SpeechSplit::HeldOut => self.train..self.utterances.len(),
        }
    }
}

/// Appends the utterances of a file.
fn read_split(path: &Path, utterances: &mut Vec<Utterance>, hash: &mut Xxh3) -> Result<()> {
    let hint = format!("a speech corpus has train.jsonl and heldout.jsonl; {MAKE}");
    let text = input::read_text(path, input::CORPUS, &hint)?;
    hash.update(&(text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
    let before = utterances.len();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let subject = format!("{}:{}", path.display(), index + 1);
        let first_frame = utterances.last().map_or(0, |last: &Utterance| last.first_frame + last.frames);
        utterances.push(Utterance::parse(&subject, line, first_frame)?);
    }
    if utterances.len() == before {
        return Err(Error::bad_input(path.display(), "at least one utterance", "none", MAKE));
    }
    Ok(())
}

/// Statistics of the first utterances, whose features come first as well.
fn statistics(features: &Features, train: &[Utterance], num_mels: usize) -> Statistics {
    let phones = || train.iter().flat_map(|utterance| &utterance.phones);
    let frames: usize = train.iter().map(|utterance| utterance.frames).sum();
    let mel = &features.mel()[..frames * num_mels];
    let spoken = phones().zip(features.log_energy()).filter(|(phone, _)| **phone != Phone::SIL).map(|(_, value)| *value);
    Statistics {
        log_f0: Normal::of(phones().zip(features.log_f0()).map(|(_, value)| *value)),
        log_energy: Normal::of(spoken),
        mel: (0..num_mels).into_par_iter().map(|bin| Normal::of(mel.iter().skip(bin).step_by(num_mels).copied())).collect(),
    }
}

/// Sets pitch and energy of the utterances.
fn standardise(utterances: &mut [Utterance], features: &Features, statistics: &Statistics) {
    let mut first = 0;
    for utterance in utterances {
        let phones = first..first + utterance.phones.len();
        first = phones.end;
        let scaled = |raw: &[f32], normal: &Normal| {
            let mut values: Vec<f32> = raw[phones.clone()].iter().map(|&value| normal.standardise(value).clamp(-CLIP, CLIP)).collect();
            fill_gaps(&mut values, 0.0);
            values
        };
        utterance.pitch = scaled(features.log_f0(), &statistics.log_f0);
        utterance.energy = scaled(features.log_energy(), &statistics.log_energy);
    }
}

#[cfg(test)]
#[path = "speech_corpus_tests.rs"]
mod tests;
