//! The voices in this program, by name, and the lexicon that they share.

use std::path::Path;

use super::vocoder::Vocoder;
use super::voice::{ACOUSTIC, DESCRIPTION, Description, VOCODER, Voice};
use crate::{Error, Result};
use primal_engine::files::checkpoint::Checkpoint;
use primal_speech::Lexicon;

/// The files of a voice.
struct Embedded {
    name: &'static str,
    description: &'static str,
    acoustic: &'static [u8],
    vocoder: &'static [u8],
}

/// The voices in these folders of `models/voices`.
macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        &[$(Embedded {
            name: $name,
            description: include_str!(concat!("../../../models/voices/", $name, "/voice.toml")),
            acoustic: include_bytes!(concat!("../../../models/voices/", $name, "/acoustic.safetensors")),
            vocoder: include_bytes!(concat!("../../../models/voices/", $name, "/vocoder.safetensors")),
        }),+]
    };
}

/// A new voice is a line here, a folder, and its name in the help of `tts --voice`. The first one speaks where none is named.
const VOICES: &[Embedded] = embedded![
    "heart", "slt", //
];

/// Their names.
pub fn names() -> impl Iterator<Item = &'static str> {
    VOICES.iter().map(|voice| voice.name)
}

/// The lexicon in this program.
pub fn english() -> Lexicon {
    let bytes = include_bytes!("../../../models/voices/english.lexicon");
    Lexicon::trusted(bytes, "the lexicon in this program").expect("the file in this program is a lexicon")
}

impl Voice {
    /// The voice that speaks where none is named.
    ///
    /// # Errors
    /// Not enough memory.
    pub fn embedded() -> Result<Self> {
        VOICES[0].open()
    }

    /// The voice in this program of that name; else the one in the folder of that name. A folder that is called as a voice in this program is reached as
    /// `./NAME`.
    ///
    /// # Errors
    /// Those of [`Voice::open`]; a plain name that is neither.
    pub fn find(name_or_folder: &Path) -> Result<Self> {
        // `Path` takes `slt/` for `slt`.
        let is_name = |voice: &&Embedded| voice.name == name_or_folder.as_os_str();
        if let Some(voice) = VOICES.iter().find(is_name) {
            return voice.open();
        }
        let is_plain = name_or_folder.components().eq(name_or_folder.file_name().map(std::path::Component::Normal));
        if is_plain && !name_or_folder.exists() {
            let names: Vec<_> = names().collect();
            let expected = format!("a voice in this program ({}) or the folder of one", names.join(", "));
            let hint =
                format!("give one of these names, or the path of a folder with a {DESCRIPTION}, as `primal-host export-voice` makes it");
            return Err(Error::bad_input("--voice", expected, name_or_folder.display(), hint));
        }
        Self::open(name_or_folder)
    }
}

impl Embedded {
    fn open(&self) -> Result<Voice> {
        let of = |part: &str| format!("the {part} of the voice {} in this program", self.name);
        let description = Description::parse(self.description, Path::new(&of("description")))?;
        // What the macro embeds.
        debug_assert_eq!((&description.acoustic[..], &description.vocoder[..], &description.lexicon), (ACOUSTIC, VOCODER, &None));
        let acoustic = Checkpoint::from_bytes(&of("acoustic model"), self.acoustic)?;
        let vocoder = Vocoder::from_bytes(&of("vocoder"), self.vocoder)?;
        Voice::assemble(description, acoustic, vocoder, english())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_the_name_of_its_folder_and_what_it_embeds() {
        for voice in VOICES {
            let opened = Voice::find(Path::new(voice.name)).expect("a voice");
            assert_eq!(opened.description().name, voice.name);
        }
        assert_eq!(Voice::embedded().expect("a voice").description().name, VOICES[0].name);
    }

    #[test]
    fn what_is_neither_name_nor_folder_is_refused_with_the_names() {
        let fails = |name: &str| Voice::find(Path::new(name)).err().expect("an error").to_string();
        let message = fails("slat");
        for part in names().chain(["--voice", "found slat", "the path of a folder"]) {
            assert!(message.contains(part), "{part:?} in: {message}");
        }
        // Paths are folders, whatever they are called.
        for path in ["./slt", "slt/", "none/slt"] {
            assert!(fails(path).contains(DESCRIPTION), "{path}: {}", fails(path));
        }
    }
}
