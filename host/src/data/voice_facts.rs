//! What a voice's checkpoint says of its numbers: which phones, which spectrogram, which scales.

use primal_engine::config::SpeechConfig;
use primal_engine::models::ghost_tts::{FACTS_KEY as KEY, MelScale, Scales};
use primal_speech::Phone;
use primal_speech::mel::MelSettings;
use primal_speech::prosody::Statistics;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// No mean or deviation of a logarithm of sound is larger.
const MOST: f32 = 1e3;
/// Constant values have a deviation of 1 (see [`Normal::of`](primal_speech::prosody::Normal::of)), all others one far above it.
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
    /// Facts of a voice that is trained on such data with this version's phones.
    pub fn new(mel: MelSettings, statistics: Statistics) -> Self {
        Self { phones: Phone::all().map(|phone| phone.name().to_string()).collect(), mel, statistics }
    }

    /// The scale of its spectrograms.
    pub fn mel_scale(&self) -> MelScale {
        MelScale::new(self.statistics.mel.iter().map(|band| (band.mean, band.std)))
    }

    /// What its standardised numbers stand for.
    pub fn scales(&self) -> Scales {
        let Statistics { log_f0, log_energy, .. } = self.statistics;
        Scales { mel: self.mel_scale(), log_f0: log_f0.std, log_energy: log_energy.std }
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

/// Checks that a model tells this version's phones apart; `subject` is what it is of.
///
/// # Errors
/// Bad input for another number of them.
pub fn require_phones(config: &SpeechConfig, subject: &str) -> Result<()> {
    let found = config.model.phones;
    if found == Phone::COUNT {
        return Ok(());
    }
    Err(Error::bad_input(format!("{subject}: model.phones"), format!("{} phones", Phone::COUNT), found, "leave the key out"))
}
