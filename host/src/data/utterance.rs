//! An utterance of a speech corpus, as a line of its file says it.

use std::path::Path;

use serde::Deserialize;

use crate::{Error, Result};
use primal_engine::models::ghost_tts::UtteranceInput;
use primal_speech::Phone;
use primal_speech::mel::MelSettings;

/// What to do about a corpus that is none.
pub(super) const MAKE: &str = "make the corpus with models/voices/slt/make_corpus.py";

/// A line of a `.jsonl` file; other fields are of no interest here.
#[derive(Deserialize)]
struct Line {
    id: String,
    text: String,
    phones: Vec<String>,
    durations_frames: Vec<u32>,
    n_frames: usize,
    wav: String,
}

/// An utterance of a speech corpus.
#[derive(Debug, Clone)]
pub struct Utterance {
    /// Name of the utterance.
    pub id: String,
    /// What is said.
    pub text: String,
    /// The path of its sound, relative to the folder.
    pub wav: String,
    /// Phones, in order `[phones]`.
    pub phones: Vec<Phone>,
    /// Frames of each phone `[phones]`; a phone may have none.
    pub durations: Vec<u32>,
    /// The sum of the durations.
    pub frames: usize,
    /// Mean ln F0 of each phone `[phones]`, standardised, clipped to -3..3, interpolated over unvoiced phones.
    pub pitch: Vec<f32>,
    /// Mean ln energy of each phone `[phones]`, standardised, clipped to -3..3.
    pub energy: Vec<f32>,
    /// The utterance's first row in the mel of the corpus.
    pub(super) first_frame: usize,
}

impl Utterance {
    /// The utterance of a line of a `.jsonl` file; pitch and energy are still empty.
    ///
    /// # Errors
    /// Bad input that names `subject`.
    pub(super) fn parse(subject: &str, line: &str, first_frame: usize) -> Result<Self> {
        let line: Line = serde_json::from_str(line).map_err(|error| {
            let expected = "a JSON object with id, text, phones, durations_frames, n_frames and wav";
            Error::bad_input(subject, expected, error, "correct the line or remove it")
        })?;
        let phone = |name: &String| {
            Phone::from_name(name).ok_or_else(|| {
                let hint = "phones are those of CMUdict in upper case, vowels with a stress digit, and SIL";
                Error::bad_input(subject, "known phones", format!("phone {name:?} in {}", line.id), hint)
            })
        };
        let phones = line.phones.iter().map(phone).collect::<Result<Vec<_>>>()?;
        if phones.len() != line.durations_frames.len() || phones.is_empty() {
            let found = format!("{} phones and {} durations in {}", phones.len(), line.durations_frames.len(), line.id);
            return Err(Error::bad_input(subject, "one duration to each phone, and at least one phone", found, MAKE));
        }
        let sum: u64 = line.durations_frames.iter().map(|&duration| u64::from(duration)).sum();
        if sum != line.n_frames as u64 || sum == 0 || sum > u64::from(u32::MAX) {
            let expected = format!("durations that sum to n_frames = {}, above 0", line.n_frames);
            return Err(Error::bad_input(subject, expected, format!("a sum of {sum} in {}", line.id), MAKE));
        }
        Ok(Self {
            id: line.id,
            text: line.text,
            wav: line.wav,
            phones,
            durations: line.durations_frames,
            frames: line.n_frames,
            pitch: Vec::new(),
            energy: Vec::new(),
            first_frame,
        })
    }

    /// As the network sees it; `mel` is its spectrogram, or empty where that is to be predicted.
    pub fn input<'a>(&'a self, mel: &'a [f32]) -> UtteranceInput<'a, Phone> {
        UtteranceInput { phones: &self.phones, durations: &self.durations, pitch: &self.pitch, energy: &self.energy, mel }
    }

    /// What to say of a sound with fewer samples than the utterance has frames for.
    pub(super) fn too_short(&self, path: &Path, settings: &MelSettings, found: String) -> Error {
        let (frames, id) = (self.frames, &self.id);
        let expected = format!("{} samples, {frames} frames as the durations of {id} say", frames.saturating_mul(settings.hop_size));
        Error::bad_input(path.display(), expected, found, "the sound and its durations do not belong together: make the corpus again")
    }
}
