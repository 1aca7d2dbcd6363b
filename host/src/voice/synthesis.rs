//! From a text to sound: sentence by sentence, and within a sentence chunk by chunk, so that memory does not grow with the text.

use super::gate::Gate;
use super::pauses::Pauses;
use super::vocoder::VocoderModel;
use super::voice::Voice;
use crate::{Error, Result};
use primal_engine::backend::Device;
use primal_engine::memory::Plan;
use primal_engine::models::ghost_tts::{Capacity, Controls, GhostTts, Scales, SpeechBatch, SpokenMel};
use primal_engine::nn::Parameters;
use primal_engine::nn::Purpose;
use primal_engine::nn::tensors;
use primal_speech::mel::{FLOOR, MelSettings};
use primal_speech::normalise::Warning;
use primal_speech::sentences::{End, Piece, pieces};
use primal_speech::{Lexicon, Phone, Phonemes};

/// Phones that are spoken in one breath, at most: as many as the longest sentences that voices learn from have. In longer ones the voice fades.
const MOST_PHONES: usize = 112;
/// Frames of a breath, at most: 23 s at 22,050 Hz.
const MOST_FRAMES: usize = 2000;
/// Warnings that are told in words.
const WARNINGS: usize = 20;

/// A part of a text, before its sound.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// Phones of the part.
    pub phones: &'a [Phone],
    /// Frames of each phone.
    pub durations: &'a [u32],
    /// Frames of each phone before rounding.
    pub unrounded: &'a [f32],
    /// Log-mel frames, `[Σ durations, num_mels]`.
    pub mel: &'a [f32],
}

/// Who listens while a text is spoken.
pub trait Listener {
    /// Hears of the part whose samples come next.
    ///
    /// # Errors
    /// Errors of the listener; they end the speech.
    fn said(&mut self, said: &Said<'_>) -> Result<()>;

    /// Hears samples in ±1, in order.
    ///
    /// # Errors
    /// Errors of the listener; they end the speech.
    fn samples(&mut self, samples: &[f32]) -> Result<()>;
}

/// What was said.
#[derive(Clone, Debug, Default)]
pub struct Speech {
    /// All phones.
    pub phones: Vec<Phone>,
    /// What of the text was not read: the first places, in words.
    pub warnings: Vec<String>,
    /// How many more places were not read.
    pub more_warnings: usize,
    /// Number of samples.
    pub samples: u64,
}

/// A voice ready to speak.
pub struct Synthesizer<'a, D> {
    lexicon: &'a Lexicon,
    mel: MelSettings,
    backend: D,
    parameters: Parameters,
    model: GhostTts,
    batch: SpeechBatch,
    scales: Scales,
    pitch_range: f32,
    vocoder: VocoderModel,
}

impl<'a, D: Device> Synthesizer<'a, D> {
    /// Loads a voice.
    ///
    /// # Errors
    /// A voice that is damaged or of another version; a device that cannot be used.
    pub fn new(voice: &'a Voice) -> Result<Self> {
        let (acoustic, mel) = (voice.acoustic(), *voice.mel());
        let mut plan = Plan::default();
        let (ids, specs) = acoustic.parameters();
        let capacity = Capacity { utterances: 1, phones: MOST_PHONES, frames: MOST_FRAMES };
        let model = GhostTts::plan(ids, &acoustic.config.model, capacity, Purpose::Evaluate, &mut plan);
        let vocoder = VocoderModel::plan(voice.vocoder(), &mut plan)?;
        D::require(&model.attention())?;
        let mut backend = D::open(&mut plan)?;
        let parameters = tensors::map(&mut backend, specs, &acoustic.checkpoint)?;
        model.prepare(&mut backend);
        vocoder.load(&mut backend, voice.vocoder())?;
        let batch = model.batch();
        let pitch_range = voice.description().pitch_range.unwrap_or(1.0);
        Ok(Self { lexicon: voice.lexicon(), mel, backend, parameters, model, batch, scales: acoustic.facts.scales(), pitch_range, vocoder })
    }

    /// The mel settings of the voice.
    pub fn mel(&self) -> &MelSettings {
        &self.mel
    }

    /// Speaks a text.
    ///
    /// # Errors
    /// A text without anything to say; those of the listener.
    pub fn speak(&mut self, text: &str, controls: &Controls, listener: &mut impl Listener) -> Result<Speech> {
        let mut speech = Speech::default();
        let mut pauses = Pauses::new(1.0 / self.mel.seconds(1), controls.speed);
        for Piece { text: sentence, end: ends } in pieces(text) {
            let phonemes = self.lexicon.phonemes(sentence);
            let place = sentence.as_ptr() as usize - text.as_ptr() as usize;
            let warnings = phonemes.warnings.iter().map(|warning| {
                let source = warning.source.start + place..warning.source.end + place;
                Warning { source, ..warning.clone() }.to_string()
            });
            speech.warn(warnings);
            // A blank line, or one of dots.
            if phonemes.is_empty() && phonemes.warnings.is_empty() {
                pauses.lengthen(End::Paragraph);
            }
            if phonemes.is_empty() {
                continue;
            }
            let mut start = 0;
            while start < phonemes.phones.len() {
                let end = start + breath_of(&phonemes, start);
                let phones = &phonemes.phones[start..end];
                let ends = if end == phonemes.phones.len() { Some(ends) } else { end_within(phones) };
                self.say(phones, ends, controls, &mut pauses, listener, &mut speech)?;
                start = end;
            }
        }
        if speech.phones.is_empty() {
            let found = match speech.warnings.first() {
                Some(warning) => warning.clone(),
                None if text.trim().is_empty() => "no text".into(),
                None => "only punctuation".into(),
            };
            return Err(Error::bad_input("the text", "words to say", found, "give English text, such as \"Hello, world.\""));
        }
        Ok(speech)
    }

    /// Whether a text has nothing to say, and nothing that ought to be said: it is blank, or punctuation.
    pub fn is_silent(&self, text: &str) -> bool {
        let phonemes = self.lexicon.pieces(text);
        phonemes.is_empty() && phonemes.warnings.is_empty()
    }
}

impl<D: Device> Synthesizer<'_, D> {
    /// Says nothing for so many frames.
    fn pause(&self, frames: usize, listener: &mut impl Listener, speech: &mut Speech) -> Result<()> {
        let mel = vec![FLOOR.ln(); frames * self.mel.num_mels];
        listener.said(&Said { phones: &[Phone::SIL], durations: &[frames as u32], unrounded: &[frames as f32], mel: &mel })?;
        let samples = vec![0.0; frames * self.mel.hop_size];
        speech.samples += samples.len() as u64;
        listener.samples(&samples)
    }

    /// Speaks phones without taking breath, or in two breaths where they last too long for one.
    fn say(
        &mut self,
        phones: &[Phone],
        end: Option<End>,
        controls: &Controls,
        pauses: &mut Pauses,
        listener: &mut impl Listener,
        speech: &mut Speech,
    ) -> Result<()> {
        let (b, p) = (&mut self.backend, &self.parameters);
        // A source is as much higher as it is told, and the spectrogram stays as it was learnt.
        let is_sung = controls.pitch != 0.0 && self.vocoder.has_source();
        let pitch_range = controls.pitch_range * self.pitch_range;
        let mel_controls = Controls { pitch: if is_sung { 0.0 } else { controls.pitch }, pitch_range, ..*controls };
        let mut spoken = match self.model.synthesise(b, p, &mut self.batch, &self.scales, phones, &mel_controls) {
            Ok(spoken) => spoken,
            // Only their frames can be too many: slow speech, or a predictor that knows no better.
            Err(_) if phones.len() > 1 => {
                let (first, second) = phones.split_at(middle_of(phones));
                self.say(first, end_within(first), controls, pauses, listener, speech)?;
                return self.say(second, end, controls, pauses, listener, speech);
            }
            Err(error) => return Err(error.into()),
        };
        let missing = pauses.fit(phones, &mut spoken, end);
        if missing > 0 {
            self.pause(missing, listener, speech)?;
        }
        let SpokenMel { durations, unrounded, mel } = spoken;
        listener.said(&Said { phones, durations: &durations, unrounded: &unrounded, mel: &mel })?;
        speech.phones.extend_from_slice(phones);
        let mut f0 = if is_sung { self.vocoder.f0(&mut self.backend, &mel)? } else { None };
        f0.iter_mut().flatten().for_each(|hz| *hz *= (controls.pitch / 12.0).exp2());
        let mut gate = Gate::new(phones, &durations, &mel, self.mel.hop_size);
        self.vocoder.vocode_at(&mut self.backend, &mel, f0.as_deref(), |samples| {
            speech.samples += samples.len() as u64;
            listener.samples(gate.pass(samples))
        })
    }
}

impl Speech {
    fn warn(&mut self, warnings: impl Iterator<Item = String>) {
        for warning in warnings {
            if self.warnings.len() < WARNINGS {
                self.warnings.push(warning);
            } else {
                self.more_warnings += 1;
            }
        }
    }
}

/// What phones within a piece end with: a pause as between clauses, or none.
fn end_within(phones: &[Phone]) -> Option<End> {
    phones.ends_with(&[Phone::SIL]).then_some(End::Clause)
}

/// How many of the phones from `start` on are spoken in one breath: all, or to the last pause, end of a word, or phone that it reaches.
fn breath_of(phonemes: &Phonemes, start: usize) -> usize {
    let rest = &phonemes.phones[start..];
    if rest.len() <= MOST_PHONES {
        return rest.len();
    }
    let pause = rest[..MOST_PHONES].iter().rposition(|&phone| phone == Phone::SIL).filter(|&at| at > 0);
    let mut ends = phonemes.words.iter().map(|word| word.phones.end).filter(|end| (start + 1..=start + MOST_PHONES).contains(end));
    pause.map(|at| at + 1).or(ends.next_back().map(|end| end - start)).unwrap_or(MOST_PHONES)
}

/// Where to split phones in two: after the pause nearest to the middle, or there.
fn middle_of(phones: &[Phone]) -> usize {
    let middle = phones.len() / 2;
    let pauses = (1..phones.len()).filter(|&at| phones[at - 1] == Phone::SIL && at > 1);
    pauses.min_by_key(|at| at.abs_diff(middle)).unwrap_or(middle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use primal_speech::lexicon::{Found, Word};

    /// Words of that many phones, with a pause after each `pause`-th.
    fn phonemes(words: &[usize], pause: usize) -> Phonemes {
        let mut all = Phonemes { phones: vec![Phone::SIL], ..Phonemes::default() };
        let vowel = Phone::from_name("AA1").unwrap();
        for (i, &len) in words.iter().enumerate() {
            let first = all.phones.len();
            all.phones.extend(vec![vowel; len]);
            all.words.push(Word { text: "word".into(), phones: first..all.phones.len(), source: 0..0, found: Found::Dictionary });
            if (i + 1) % pause == 0 {
                all.phones.push(Phone::SIL);
            }
        }
        all
    }

    fn breaths(phonemes: &Phonemes) -> Vec<usize> {
        let (mut start, mut breaths) = (0, Vec::new());
        while start < phonemes.phones.len() {
            breaths.push(breath_of(phonemes, start));
            start += breaths[breaths.len() - 1];
        }
        breaths
    }

    #[test]
    fn long_sentences_are_split_at_pauses_then_words_then_anywhere() {
        assert_eq!(breaths(&phonemes(&[4; 20], 20)), [82]);
        // A pause after each 40 phones: 1 + 2 · 41 phones fit.
        assert_eq!(breaths(&phonemes(&[4; 100], 10)), [83, 82, 82, 82, 82]);
        // No pause: 1 + 27 · 4 + 3 phones would split a word.
        assert_eq!(breaths(&phonemes(&[4; 100], 1000)), [109, 112, 112, 68]);
        assert_eq!(breaths(&phonemes(&[300], 1000)), [112, 112, 77]);
    }

    #[test]
    fn what_lasts_too_long_is_split_near_its_middle() {
        assert_eq!(middle_of(&phonemes(&[4; 10], 6).phones), 26);
        assert_eq!(middle_of(&phonemes(&[4; 10], 100).phones), 20);
        let two = phonemes(&[1], 1);
        assert_eq!(middle_of(&two.phones[..2]), 1);
        assert_eq!(middle_of(&two.phones), 1);
    }
}
