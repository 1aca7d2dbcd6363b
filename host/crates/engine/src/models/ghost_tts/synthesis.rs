//! A spectrogram for phones whose sound nobody knows yet.

use super::batch::{SpeechBatch, UtteranceInput};
use super::network::{GhostTts, Lengths};
use super::scale::MelScale;
use crate::backend::Backend;
use crate::nn::Parameters;
use crate::{Error, Result};

/// How to speak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Controls {
    /// Divides durations: 2 for twice as fast.
    pub speed: f32,
    /// Added to the pitch, in semitones.
    pub pitch: f32,
    /// Multiplies how far the pitch moves from the voice's mean: 0 for one tone.
    pub pitch_range: f32,
    /// Multiplies the energy: 2 for about 6 dB.
    pub energy: f32,
}

impl Default for Controls {
    fn default() -> Self {
        Self { speed: 1.0, pitch: 0.0, pitch_range: 1.0, energy: 1.0 }
    }
}

/// What the standardised numbers of a voice stand for.
#[derive(Clone, Debug)]
pub struct Scales {
    /// The scale of its spectrograms.
    pub mel: MelScale,
    /// Standard deviation of the logarithm of a phone's pitch.
    pub log_f0: f32,
    /// Standard deviation of the logarithm of a phone's energy.
    pub log_energy: f32,
}

/// What was spoken.
#[derive(Clone, Debug, PartialEq)]
pub struct SpokenMel {
    /// Frames of each phone.
    pub durations: Vec<u32>,
    /// Frames of each phone before they were rounded: two devices may round a tie differently.
    pub unrounded: Vec<f32>,
    /// Log-mel spectrogram, `[frames, mels]`.
    pub mel: Vec<f32>,
}

/// A phone lasts at most so many frames (3 s): a predictor that is not trained yet may say anything.
const LONGEST: f32 = 256.0;

impl GhostTts {
    /// Speaks phones in one breath. Between [`GhostTts::load`] and the end of a pass nothing else may be loaded.
    ///
    /// # Errors
    /// Bad input for no phones, more than the plan's capacity, or more frames than that; a failure where what the network says is not finite,
    /// or of the device.
    pub fn synthesise<B: Backend, P: Copy + Into<u32>>(
        &self,
        b: &mut B,
        p: &Parameters,
        batch: &mut SpeechBatch,
        scales: &Scales,
        phones: &[P],
        controls: &Controls,
    ) -> Result<SpokenMel> {
        let (n, capacity) = (phones.len(), self.capacity);
        if !(1..=capacity.phones).contains(&n) {
            return Err(Error::invalid("a sentence", format!("1 to {} phones", capacity.phones), n, "split it at its pauses"));
        }
        let (none, scale) = (vec![0.0; n], &scales.mel);
        batch.clear();
        batch.push(&UtteranceInput { phones, durations: &vec![0; n], pitch: &none, energy: &none, mel: &[] }, scale);
        let lengths = self.load(b, batch);
        self.encode(b, p, lengths.phones);
        let [mut log_durations, mut pitch, mut energy] = [0, 1, 2].map(|_| vec![0.0f32; n]);
        for (span, values) in self.predictions(&lengths).into_iter().zip([&mut log_durations, &mut pitch, &mut energy]) {
            b.download(span, values);
        }
        b.fault()?;
        [("durations", &log_durations), ("pitch", &pitch), ("energy", &energy)]
            .into_iter()
            .try_for_each(|(what, v)| require_finite(what, v))?;
        let unrounded: Vec<f32> = log_durations.iter().map(|log| (log.exp() - 1.0) / controls.speed).collect();
        let durations: Vec<u32> = unrounded.iter().map(|frames| frames.round().clamp(1.0, LONGEST) as u32).collect();
        let total: usize = durations.iter().map(|&d| d as usize).sum();
        if total > capacity.frames {
            return Err(Error::invalid("a sentence", format!("at most {} frames", capacity.frames), total, "split it at its pauses"));
        }
        // Both are standardised logarithms.
        let semitones = controls.pitch * std::f32::consts::LN_2 / 12.0;
        pitch.iter_mut().for_each(|value| *value = *value * controls.pitch_range + semitones / scales.log_f0);
        energy.iter_mut().for_each(|value| *value += controls.energy.ln() / scales.log_energy);

        batch.clear();
        batch.push(&UtteranceInput { phones, durations: &durations, pitch: &pitch, energy: &energy, mel: &[] }, scale);
        let lengths = self.load(b, batch);
        let mel = self.drawn(b, p, &lengths, scale)?;
        Ok(SpokenMel { durations, unrounded, mel })
    }
}

impl GhostTts {
    /// The log-mel spectrogram of a batch whose durations, pitch and energy are known, `[frames, mels]`: what its vocoder will get.
    ///
    /// # Errors
    /// A failure where it is not finite, or of the device.
    pub fn draw<B: Backend>(&self, b: &mut B, p: &Parameters, batch: &SpeechBatch, scale: &MelScale) -> Result<Vec<f32>> {
        let lengths = self.load(b, batch);
        self.encode(b, p, lengths.phones);
        self.drawn(b, p, &lengths, scale)
    }

    /// The spectrogram of the loaded batch, whose phones are encoded.
    fn drawn<B: Backend>(&self, b: &mut B, p: &Parameters, lengths: &Lengths, scale: &MelScale) -> Result<Vec<f32>> {
        self.decode(b, p, lengths);
        let frames = lengths.frames.rows();
        let mut mel = vec![0.0; frames * self.mels];
        b.download(self.postnet.output(frames), &mut mel);
        b.fault()?;
        scale.restore(&mut mel);
        require_finite("spectrogram", &mel)?;
        Ok(mel)
    }
}

fn require_finite(what: &str, values: &[f32]) -> Result<()> {
    values.iter().find(|value| !value.is_finite()).map_or(Ok(()), |value| {
        let message = format!("the voice's {what} of this text are not finite ({value})");
        Err(Error::failed(message, "its weights are damaged or never learnt: export it from an earlier checkpoint"))
    })
}
