//! What a voice's checkpoint says of its numbers: which phones, which spectrogram, which scales.

use serde::{Deserialize, Serialize};

use crate::speech::Phone;
use crate::speech::mel::MelSettings;
use crate::speech::prosody::Statistics;
use crate::{Error, Result};

/// The key of the metadata that holds it, as JSON.
pub const KEY: &str = "voice";

/// No mean or deviation of a logarithm of sound is larger.
const MOST: f32 = 1e3;
/// Constant values have a deviation of 1 (see [`Normal::of`](crate::speech::prosody::Normal::of)), all others one far above it.
const LEAST: f32 = 1e-6;

/// What the numbers of a voice mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VoiceFacts {
    /// Names of the phones, by index.
    phones: Vec<String>,
    /// How its spectrograms are made.
    pub mel: MelSettings,
    /// What its spectrograms, pitch and energy are standardised by.
    pub statistics: Statistics,
}

impl VoiceFacts {
    /// Those of a voice that is trained on such data with this version's phones.
    pub fn new(mel: MelSettings, statistics: Statistics) -> Self {
        Self { phones: Phone::all().map(|phone| phone.name().to_string()).collect(), mel, statistics }
    }

    /// The scale of its spectrograms.
    pub fn mel_scale(&self) -> MelScale {
        MelScale::of(&self.statistics)
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }

    /// From the JSON of a checkpoint; `mels` is the model's number of bands, `subject` the file.
    ///
    /// # Errors
    /// Bad input where it does not parse, or has another number of bands, other phones, or scales that are none.
    pub fn parse(json: &str, mels: usize, subject: &str) -> Result<Self> {
        let bad = |expected: String, found: String| {
            Error::bad_input(
                format!("{subject}: metadata {KEY}"),
                expected,
                found,
                "use a checkpoint that `tts-train` of this version made",
            )
        };
        let facts: Self = serde_json::from_str(json).map_err(|e| bad("the facts of a voice as JSON".into(), e.to_string()))?;
        facts.mel.validate(format!("{subject}: metadata {KEY}"))?;
        let bands = [facts.mel.num_mels, facts.statistics.mel.len()];
        if bands != [mels; 2] {
            return Err(bad(format!("{mels} mel bands"), format!("{bands:?}")));
        }
        if facts.phones.len() != Phone::COUNT || !Phone::all().zip(&facts.phones).all(|(phone, name)| phone.name() == name) {
            return Err(bad("the phones of this version".into(), facts.phones.join(" ")));
        }
        let prosody = [facts.statistics.log_f0, facts.statistics.log_energy];
        match facts.statistics.mel.iter().chain(&prosody).find(|n| !(n.mean.abs() <= MOST && (LEAST..=MOST).contains(&n.std))) {
            Some(normal) => {
                let expected = format!("means within ±{MOST}, and standard deviations from {LEAST} to {MOST}, of logarithms");
                Err(bad(expected, format!("{normal:?}")))
            }
            None => Ok(facts),
        }
    }
}

/// The scale on which a network sees log-mel spectrograms: each band about its mean, all by one standard deviation, so that an error counts
/// the same in all bands.
#[derive(Clone, Debug, PartialEq)]
pub struct MelScale {
    mean: Vec<f32>,
    /// Natural logarithms in one unit.
    pub std: f32,
}

impl MelScale {
    /// That of these statistics.
    pub fn of(statistics: &Statistics) -> Self {
        let variance = statistics.mel.iter().map(|band| f64::from(band.std).powi(2)).sum::<f64>() / statistics.mel.len() as f64;
        Self { mean: statistics.mel.iter().map(|band| band.mean).collect(), std: variance.sqrt() as f32 }
    }

    /// The values of frames `[frames, mels]`, standardised.
    pub fn standardised<'a>(&'a self, mel: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        mel.chunks_exact(self.mean.len()).flat_map(|frame| frame.iter().zip(&self.mean).map(|(value, mean)| (value - mean) / self.std))
    }

    /// Turns standardised frames back into natural logarithms.
    pub fn restore(&self, mel: &mut [f32]) {
        for frame in mel.chunks_exact_mut(self.mean.len()) {
            frame.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value = *value * self.std + mean);
        }
    }
}
