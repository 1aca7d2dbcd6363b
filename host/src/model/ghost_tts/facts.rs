//! What a voice's checkpoint says of its numbers: which phones, which spectrogram, which scales.

use serde::{Deserialize, Serialize};

use crate::speech::Phone;
use crate::{Error, Result};

/// The key of the metadata that holds it, as JSON.
pub const KEY: &str = "voice";

/// Mean and standard deviation of what a network sees standardised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Mean.
    pub mean: f32,
    /// Standard deviation, above 0.
    pub std: f32,
}

impl Scale {
    /// That of these values; a standard deviation of 1 where they do not differ.
    pub fn of(values: impl Iterator<Item = f32> + Clone) -> Self {
        let count = values.clone().count().max(1) as f64;
        let mean = values.clone().map(f64::from).sum::<f64>() / count;
        let variance = values.map(|value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
        Self { mean: mean as f32, std: if variance > 0.0 { variance.sqrt() as f32 } else { 1.0 } }
    }

    /// In standard deviations from the mean.
    pub fn standardise(self, value: f32) -> f32 {
        (value - self.mean) / self.std
    }

    /// What standard deviations from the mean stand for.
    pub fn restore(self, value: f32) -> f32 {
        value * self.std + self.mean
    }
}

/// What the numbers of a voice mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VoiceFacts {
    /// Names of the phones, by index.
    pub phones: Vec<String>,
    /// Mean of each mel band.
    pub mel_mean: Vec<f32>,
    /// Standard deviation of all bands about their means.
    pub mel_std: f32,
    /// Of a phone's pitch.
    pub pitch: Scale,
    /// Of a phone's energy.
    pub energy: Scale,
}

impl VoiceFacts {
    /// Facts of raw log-mel spectrograms `[frames, mels]` and of phones' pitch and energy.
    pub fn of<'a>(
        mels: usize,
        spectrograms: impl Iterator<Item = &'a [f32]> + Clone,
        pitch: impl Iterator<Item = f32> + Clone,
        energy: impl Iterator<Item = f32> + Clone,
    ) -> Self {
        let (mut sums, mut frames) = (vec![0.0f64; mels], 0usize);
        for frame in spectrograms.clone().flat_map(|mel| mel.chunks_exact(mels)) {
            sums.iter_mut().zip(frame).for_each(|(sum, &value)| *sum += f64::from(value));
            frames += 1;
        }
        let mel_mean: Vec<f32> = sums.iter().map(|sum| (sum / frames.max(1) as f64) as f32).collect();
        let squares = spectrograms.flat_map(|mel| mel.chunks_exact(mels)).flat_map(|frame| frame.iter().zip(&mel_mean));
        let variance = squares.map(|(&value, &mean)| f64::from(value - mean).powi(2)).sum::<f64>() / (frames * mels).max(1) as f64;
        Self {
            phones: Phone::all().map(|phone| phone.name().to_string()).collect(),
            mel_mean,
            mel_std: if variance > 0.0 { variance.sqrt() as f32 } else { 1.0 },
            pitch: Scale::of(pitch),
            energy: Scale::of(energy),
        }
    }

    /// Standardises a spectrogram `[frames, mels]`.
    pub fn standardise_mel(&self, mel: &mut [f32]) {
        for frame in mel.chunks_exact_mut(self.mel_mean.len()) {
            frame.iter_mut().zip(&self.mel_mean).for_each(|(value, mean)| *value = (*value - mean) / self.mel_std);
        }
    }

    /// Turns a standardised spectrogram back into natural logarithms.
    pub fn restore_mel(&self, mel: &mut [f32]) {
        for frame in mel.chunks_exact_mut(self.mel_mean.len()) {
            frame.iter_mut().zip(&self.mel_mean).for_each(|(value, mean)| *value = *value * self.mel_std + mean);
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }

    /// From the JSON of a checkpoint; `mels` is the model's number of bands, `subject` the file.
    ///
    /// # Errors
    /// Bad input where it does not parse, has another number of bands or other phones.
    pub fn parse(json: &str, mels: usize, subject: &str) -> Result<Self> {
        let bad = |expected: String, found: String| {
            Error::bad_input(format!("{subject}: metadata {KEY}"), expected, found, "use a checkpoint that `tts-train` of this version made")
        };
        let facts: Self = serde_json::from_str(json).map_err(|e| bad("the facts of a voice as JSON".into(), e.to_string()))?;
        if facts.mel_mean.len() != mels {
            return Err(bad(format!("means of {mels} bands"), facts.mel_mean.len().to_string()));
        }
        if facts.phones.len() != Phone::COUNT || !Phone::all().zip(&facts.phones).all(|(phone, name)| phone.name() == name) {
            return Err(bad("the phones of this version".into(), facts.phones.join(" ")));
        }
        let scales = [facts.mel_std, facts.pitch.std, facts.energy.std];
        if !scales.iter().all(|std| *std > 0.0 && std.is_finite()) {
            return Err(bad("standard deviations above 0".into(), format!("{scales:?}")));
        }
        Ok(facts)
    }
}
