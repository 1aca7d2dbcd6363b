//! A vocoder with the spectrograms that it was trained on.

use std::ops::Deref;
use std::path::Path;

use primal_engine::models::hifigan::{self, HifiganConfig, weights};
use primal_speech::mel::MelSettings;

use crate::{Error, Result};

/// A vocoder's file, whose metadata say under `mel` what spectrograms it turns to sound.
#[derive(Debug)]
pub struct Vocoder {
    file: hifigan::VocoderFile,
    /// The spectrograms that it was trained on.
    pub mel: MelSettings,
}

impl Deref for Vocoder {
    type Target = hifigan::VocoderFile;

    fn deref(&self) -> &hifigan::VocoderFile {
        &self.file
    }
}

impl Vocoder {
    /// Maps a file and checks everything.
    ///
    /// # Errors
    /// I/O errors; bad input that names what is missing, extra, of another shape, or has a value that no vocoder has.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        Self::new(hifigan::VocoderFile::open(path)?, &name)
    }

    /// A vocoder of bytes in memory; `name` stands for the path in messages.
    ///
    /// # Errors
    /// As [`Vocoder::open`].
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        Self::new(hifigan::VocoderFile::from_bytes(name, bytes)?, name)
    }

    fn new(file: hifigan::VocoderFile, name: &str) -> Result<Self> {
        let mel: MelSettings = weights::parse(name, &file.metadata, "mel")?;
        mel.validate(name)?;
        require_fit(&file.config, &mel, name)?;
        Ok(Self { file, mel })
    }
}

/// Checks that a generator makes as many samples of a frame as the mel settings have.
///
/// # Errors
/// Bad input that names the field.
pub fn require_fit(config: &HifiganConfig, mel: &MelSettings, subject: &str) -> Result<()> {
    let hint = "give the configuration that the vocoder was trained with";
    if config.hop_size() != mel.hop_size {
        let expected = format!("`upsample_rates` whose product is the hop size, {}", mel.hop_size);
        return Err(Error::bad_input(subject, expected, format!("{:?}", config.upsample_rates), hint));
    }
    Ok(())
}
