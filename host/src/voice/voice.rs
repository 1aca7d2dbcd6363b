//! A voice: an acoustic model, a vocoder and a lexicon in a folder.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::embedded::english;
use super::vocoder::Vocoder;
use crate::data::{VoiceFacts, require_phones};
use crate::{Error, Result, input};
use primal_engine::config::{GhostTtsConfig, SpeechConfig};
use primal_engine::files::TensorFile;
use primal_engine::files::checkpoint::Checkpoint;
use primal_engine::models::ghost_tts::{FACTS_KEY, GhostTtsIds};
use primal_engine::nn::parameters::Specs;
use primal_engine::train::state;
use primal_speech::Lexicon;
use primal_speech::mel::MelSettings;

/// The description in a voice's folder.
pub const DESCRIPTION: &str = "voice.toml";
/// The name that a new voice's acoustic model gets.
pub const ACOUSTIC: &str = "acoustic.safetensors";
/// The name that its vocoder gets.
pub const VOCODER: &str = "vocoder.safetensors";
/// The name that its lexicon gets, if it has its own.
pub const LEXICON: &str = "english.lexicon";
/// How far the pitch may be moved from a voice's mean, as a factor.
const PITCH_RANGE: std::ops::RangeInclusive<f32> = 0.0..=3.0;
const HINT: &str = "give the folder of a voice, as `primal-host export-voice` makes it; without --voice, one in this program speaks";

/// What `voice.toml` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Name of the voice.
    pub name: String,
    /// The language it speaks, as in RFC 5646.
    pub language: String,
    /// Under which terms it may be used.
    pub licence: String,
    /// File of the acoustic model, GhostTTS.
    pub acoustic: String,
    /// File of the vocoder.
    pub vocoder: String,
    /// Factor of how far its pitch moves: a predictor of means is too even. Without it, 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pitch_range: Option<f32>,
    /// File of the lexicon; without it, the voice uses the one in the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lexicon: Option<String>,
}

/// A voice whose files were checked and fit together.
pub struct Voice {
    description: Description,
    acoustic: Acoustic,
    vocoder: Vocoder,
    lexicon: Lexicon,
}

/// An acoustic model's file, read as far as it has to be to know what it is.
pub struct Acoustic {
    /// The file.
    pub checkpoint: Checkpoint,
    /// Shape and training of the model.
    pub config: SpeechConfig,
    /// What its numbers mean.
    pub facts: VoiceFacts,
}

impl Acoustic {
    /// Reads what the metadata say.
    ///
    /// # Errors
    /// Metadata of something else.
    pub fn new(checkpoint: Checkpoint) -> Result<Self> {
        let config = state::config_of::<GhostTtsConfig>(&checkpoint)?;
        let subject = checkpoint.path().display().to_string();
        require_phones(&config, &subject)?;
        let facts = VoiceFacts::parse(checkpoint.meta(FACTS_KEY)?, config.model.mels, &subject)?;
        Ok(Self { checkpoint, config, facts })
    }

    /// Names all parameters.
    pub fn parameters(&self) -> (GhostTtsIds, Specs) {
        GhostTtsIds::new(&self.config.model, self.config.train.optimizer.is_float())
    }

    /// Checks that a vocoder, `subject` in messages, was trained on the same mel settings.
    ///
    /// # Errors
    /// Bad input that names the first field that differs.
    pub fn require_fit(&self, vocoder: &Vocoder, subject: impl ToString) -> Result<()> {
        let hint = format!("take a vocoder that was trained on the same mel settings as {}", self.checkpoint.path().display());
        Ok(self.facts.mel.require_same(&vocoder.mel, subject, hint)?)
    }
}

/// Reads a lexicon file.
///
/// # Errors
/// A file that cannot be read, is damaged, or no lexicon.
pub fn lexicon(path: &Path) -> Result<Lexicon> {
    let bytes = input::read(path, input::LEXICON, "use the file that came with the voice")?;
    Ok(Lexicon::from_bytes(&bytes, path.display())?)
}

impl Voice {
    /// Opens the voice in a folder.
    ///
    /// # Errors
    /// Files that are missing or damaged; a vocoder with other mel settings than the acoustic model, of which the first that differs is named.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(DESCRIPTION);
        let text = input::read_text(&path, input::CONFIGURATION, HINT)?;
        let description = Description::parse(&text, &path)?;
        let lexicon = match &description.lexicon {
            Some(name) => lexicon(&folder.join(name))?,
            None => english(),
        };
        let acoustic = Checkpoint::open(folder.join(&description.acoustic))?;
        let vocoder = Vocoder::open(folder.join(&description.vocoder))?;
        Self::assemble(description, acoustic, vocoder, lexicon)
    }

    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// Parts that are not what they should be, or do not fit.
    pub(super) fn assemble(description: Description, acoustic: Checkpoint, vocoder: Vocoder, lexicon: Lexicon) -> Result<Self> {
        let acoustic = Acoustic::new(acoustic)?;
        acoustic.require_fit(&vocoder, format!("vocoder {} of the voice {}", description.vocoder, description.name))?;
        Ok(Self { description, acoustic, vocoder, lexicon })
    }

    /// What it says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The acoustic model's file.
    pub fn acoustic(&self) -> &Acoustic {
        &self.acoustic
    }

    /// The vocoder's file.
    pub fn vocoder(&self) -> &Vocoder {
        &self.vocoder
    }

    /// The lexicon.
    pub fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// The mel settings of both models.
    pub fn mel(&self) -> &MelSettings {
        &self.vocoder.mel
    }
}

impl Description {
    /// Reads the text of a description; `path` is for messages.
    ///
    /// # Errors
    /// Bad input that names the line, or a file that is not in the folder itself.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self> {
        let description: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            Error::bad_input(format!("{}, line {line}", path.display()), "the description of a voice", error.message(), HINT)
        })?;
        description.pitch_range.map_or(Ok(()), |range| require_pitch_range(format!("pitch_range in {}", path.display()), range))?;
        let files = [Some(&description.acoustic), Some(&description.vocoder), description.lexicon.as_ref()];
        if let Some(name) = files.into_iter().flatten().find(|name| !is_plain(name)) {
            return Err(Error::bad_input(path.display(), "names of files in its own folder", format!("{name:?}"), HINT));
        }
        Ok(description)
    }

    /// As a file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("strings are TOML")
    }
}

/// Checks how far a pitch is to be moved.
///
/// # Errors
/// Bad input of `subject`.
pub fn require_pitch_range(subject: impl ToString, range: f32) -> Result<()> {
    if PITCH_RANGE.contains(&range) {
        return Ok(());
    }
    let expected = format!("{} (one tone) to {}", PITCH_RANGE.start(), PITCH_RANGE.end());
    Err(Error::bad_input(subject, expected, range, "leave it out for the voice's own, 1"))
}

/// Whether a name leads into its folder and no farther.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
}
