//! A vocoder with the spectrograms that it was trained on, whatever its architecture: here, and nowhere else, it is told which one a file is of.

use std::collections::BTreeMap;
use std::path::Path;

use primal_engine::backend::Backend;
use primal_engine::files::{self, TensorFile};
use primal_engine::memory::Plan;
use primal_engine::models::hifigan::{self, Hifigan, HifiganConfig};
use primal_engine::models::source_filter::{self, Given, SourceFilter};
use primal_speech::mel::MelSettings;

use crate::{Error, Result};

/// What the metadata key `architecture` of a vocoder may be.
pub const ARCHITECTURES: [&str; 2] = [hifigan::weights::ARCHITECTURE, source_filter::weights::ARCHITECTURE];

/// A vocoder's file, whose metadata say under `mel` what spectrograms it turns to sound.
#[derive(Debug)]
pub struct Vocoder {
    /// The file.
    pub file: VocoderFile,
    /// The spectrograms that it was trained on.
    pub mel: MelSettings,
}

/// A file of one of the architectures.
#[derive(Debug)]
pub enum VocoderFile {
    /// HiFi-GAN.
    Hifigan(hifigan::VocoderFile),
    /// Harmonics and noise, filtered.
    SourceFilter(source_filter::VocoderFile),
}

/// A vocoder over its activations, for chunks of frames.
#[expect(clippy::large_enum_variant, reason = "a program has one or two")]
pub enum VocoderModel {
    /// HiFi-GAN.
    Hifigan(Hifigan),
    /// Harmonics and noise, filtered.
    SourceFilter(SourceFilter),
}

impl Vocoder {
    /// Maps a file and checks everything.
    ///
    /// # Errors
    /// I/O errors; bad input that names what is missing, extra, of another shape, or has a value that no vocoder has.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(files::open(path.as_ref())?)
    }

    /// A vocoder of bytes in memory; `name` stands for the path in messages.
    ///
    /// # Errors
    /// As [`Vocoder::open`].
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        Self::new(files::from_bytes(name, bytes)?)
    }

    fn new(file: Box<dyn TensorFile>) -> Result<Self> {
        let name = file.path().display().to_string();
        let is_source_filter = file.metadata().get("architecture").is_some_and(|found| found == source_filter::weights::ARCHITECTURE);
        let file = if is_source_filter {
            VocoderFile::SourceFilter(source_filter::VocoderFile::new(file)?)
        } else {
            VocoderFile::Hifigan(hifigan::VocoderFile::new(file)?)
        };
        let mel: MelSettings = hifigan::weights::parse(&name, file.metadata(), "mel")?;
        mel.validate(&name)?;
        match &file {
            VocoderFile::Hifigan(file) => require_fit(&file.config, &mel, &name)?,
            VocoderFile::SourceFilter(_) => {
                let hint = "source-filter vocoders know the default mel settings alone: train it on these";
                MelSettings::default().require_same(&mel, &name, hint)?;
            }
        }
        Ok(Self { file, mel })
    }

    /// Everything the file says of itself.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        self.file.metadata()
    }

    /// The file, if it is HiFi-GAN's.
    pub fn hifigan(&self) -> Option<&hifigan::VocoderFile> {
        match &self.file {
            VocoderFile::Hifigan(file) => Some(file),
            VocoderFile::SourceFilter(_) => None,
        }
    }

    /// What it is, for people.
    pub fn kind(&self) -> &'static str {
        match self.file {
            VocoderFile::Hifigan(_) => "a HiFi-GAN vocoder",
            VocoderFile::SourceFilter(_) => "a source-filter vocoder",
        }
    }

    /// The configuration, as JSON.
    pub fn config(&self) -> serde_json::Value {
        let value = match &self.file {
            VocoderFile::Hifigan(file) => serde_json::to_value(&file.config),
            VocoderFile::SourceFilter(file) => serde_json::to_value(&file.config),
        };
        value.unwrap_or_default()
    }
}

impl VocoderFile {
    fn metadata(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Hifigan(file) => &file.metadata,
            Self::SourceFilter(file) => file.metadata(),
        }
    }
}

impl VocoderModel {
    /// Reserves the weights, and activations for chunks of the architecture's usual size.
    ///
    /// # Errors
    /// A file that says what cannot be of its weights.
    pub fn plan(vocoder: &Vocoder, plan: &mut Plan) -> Result<Self> {
        Ok(match &vocoder.file {
            VocoderFile::Hifigan(file) => Self::Hifigan(Hifigan::plan(&file.config, vocoder.mel.num_mels, hifigan::CHUNK, plan)),
            VocoderFile::SourceFilter(file) => Self::SourceFilter(SourceFilter::plan(file, source_filter::CHUNK, plan)?),
        })
    }

    /// Uploads the weights of the vocoder that it was planned for.
    ///
    /// # Errors
    /// A file that is damaged.
    ///
    /// # Panics
    /// If it was planned for another architecture.
    pub fn load<B: Backend>(&self, b: &mut B, vocoder: &Vocoder) -> Result<()> {
        match (self, &vocoder.file) {
            (Self::Hifigan(model), VocoderFile::Hifigan(file)) => Ok(model.load(b, file)?),
            (Self::SourceFilter(model), VocoderFile::SourceFilter(file)) => Ok(model.load(b, file)?),
            _ => panic!("planned for another architecture than {}", vocoder.kind()),
        }
    }

    /// Passes the samples of log-mel frames `[frames, num_mels]` to `sink`, in chunks, from first to last; each sample lies within ±1.
    ///
    /// # Errors
    /// Those of `sink`, which end the synthesis; a device that failed.
    pub fn vocode<B: Backend>(&self, b: &mut B, mel: &[f32], sink: impl FnMut(&[f32]) -> Result<()>) -> Result<()> {
        self.vocode_at(b, mel, None, sink)
    }

    /// [`Self::vocode`] with F0 in Hz, `[frames]`, from elsewhere.
    ///
    /// # Errors
    /// As [`Self::vocode`].
    ///
    /// # Panics
    /// If F0 is given to a vocoder without a source, or of another length.
    pub fn vocode_at<B: Backend>(&self, b: &mut B, mel: &[f32], f0: Option<&[f32]>, sink: impl FnMut(&[f32]) -> Result<()>) -> Result<()> {
        match self {
            Self::Hifigan(model) => {
                assert!(f0.is_none(), "HiFi-GAN has no F0");
                model.vocode(b, mel, sink)
            }
            Self::SourceFilter(model) => model.vocode_with(b, mel, Given { f0, ..Given::default() }, sink),
        }
    }

    /// Whether it has a source, of which F0 can be given.
    pub fn has_source(&self) -> bool {
        matches!(self, Self::SourceFilter(_))
    }

    /// F0 of log-mel frames in Hz, of a vocoder with a source.
    ///
    /// # Errors
    /// A device that failed.
    pub fn f0<B: Backend>(&self, b: &mut B, mel: &[f32]) -> Result<Option<Vec<f32>>> {
        match self {
            Self::Hifigan(_) => Ok(None),
            Self::SourceFilter(model) => Ok(Some(model.f0(b, mel)?)),
        }
    }

    /// All samples of [`Self::vocode`].
    ///
    /// # Errors
    /// A device that failed.
    pub fn vocode_all<B: Backend>(&self, b: &mut B, mel: &[f32]) -> Result<Vec<f32>> {
        let mut all = Vec::new();
        self.vocode(b, mel, |samples| {
            all.extend_from_slice(samples);
            Ok(())
        })?;
        Ok(all)
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
