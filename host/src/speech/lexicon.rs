//! From a text to phones.

use std::ops::Range;
use std::path::Path;

use super::dictionary::Dictionary;
use super::normalise::{Spoken, Warning, normalise};
use super::phone::Phone;
use crate::{Error, Result};

/// The lexicon that comes with the program.
static ENGLISH: &[u8] = include_bytes!("../../../models/voices/slt/english.lexicon");
/// The first bytes of a lexicon file; the checksum and the packed lexicon follow.
const MAGIC: &[u8; 16] = b"PRIMAL lexicon 1";

/// What is needed to turn English text into phones: a pronouncing dictionary, and rules for the rest.
pub struct Lexicon {
    dictionary: Dictionary,
}

/// How a word's phones were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// In the dictionary.
    Dictionary,
    /// As letters, one by one.
    Letters,
}

impl Found {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dictionary => "dictionary",
            Self::Letters => "letters",
        }
    }
}

/// A word and its sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word as it is said, in small letters; a letter that is spelled out is a capital.
    pub text: String,
    /// Which of the phones are its own.
    pub phones: Range<usize>,
    /// Its bytes in the text.
    pub source: Range<usize>,
    /// How they were found.
    pub found: Found,
}

/// What a text sounds like.
#[derive(Debug, Default)]
pub struct Phonemes {
    /// The phones: words, with a pause at both ends, and never two pauses in a row.
    pub phones: Vec<Phone>,
    /// The words.
    pub words: Vec<Word>,
    /// What of the text is not in them.
    pub warnings: Vec<Warning>,
}

impl Lexicon {
    /// The lexicon that comes with the program.
    pub fn english() -> Self {
        Self::from_bytes(ENGLISH, "the lexicon in this program").expect("the file in this program is a lexicon")
    }

    /// Reads a lexicon file.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, or no lexicon.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| Error::io("reading", path, error, "a voice's folder has a lexicon"))?;
        Self::from_bytes(&bytes, path.display())
    }

    /// Reads a lexicon file's bytes; `name` is for errors.
    ///
    /// # Errors
    /// Bytes that are damaged or no lexicon.
    pub fn from_bytes(bytes: &[u8], name: impl ToString) -> Result<Self> {
        let broken = |found: &str| Error::bad_input(name.to_string(), "a lexicon", found, "use the file that came with the voice");
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| broken("another kind of file"))?;
        let (sum, packed) = rest.split_first_chunk().ok_or_else(|| broken("a truncated file"))?;
        if u32::from_le_bytes(*sum) != crc32c::crc32c(packed) {
            return Err(broken("a damaged or truncated file"));
        }
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed).map_err(|_| broken("a damaged file"))?;
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut decoder, &mut content).map_err(|_| broken("a damaged file"))?;
        let (length, rest) = content.split_first_chunk().ok_or_else(|| broken("a truncated file"))?;
        let dictionary = rest.get(..u32::from_le_bytes(*length) as usize).ok_or_else(|| broken("a truncated file"))?;
        Ok(Self { dictionary: Dictionary::unpack(dictionary)? })
    }

    /// A lexicon file's bytes: `compress` makes a zstd frame.
    pub fn to_file(dictionary: &[u8], compress: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let mut content = (dictionary.len() as u32).to_le_bytes().to_vec();
        content.extend_from_slice(dictionary);
        let packed = compress(&content);
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(&packed).to_le_bytes());
        bytes.extend_from_slice(&packed);
        bytes
    }

    /// What a text sounds like.
    pub fn phonemes(&self, text: &str) -> Phonemes {
        let normalised = normalise(text);
        let mut all = Phonemes { phones: vec![Phone::SIL], warnings: normalised.warnings, ..Phonemes::default() };
        for item in normalised.items {
            let first = all.phones.len();
            let (text, found) = match item.spoken {
                Spoken::Silence => continue,
                Spoken::Pause => {
                    all.pause();
                    continue;
                }
                Spoken::Letter(letter) => {
                    self.spell(&letter.to_string(), &mut all.phones);
                    (letter.to_ascii_uppercase().to_string(), Found::Letters)
                }
                Spoken::Word(word) => match self.dictionary.get(&word) {
                    Some(phones) => {
                        all.phones.extend_from_slice(phones);
                        (word, Found::Dictionary)
                    }
                    None => {
                        self.spell(&word, &mut all.phones);
                        (word, Found::Letters)
                    }
                },
            };
            all.words.push(Word { text, phones: first..all.phones.len(), source: item.source, found });
        }
        all.pause();
        all
    }

    fn spell(&self, word: &str, phones: &mut Vec<Phone>) {
        for letter in word.bytes().filter(u8::is_ascii_lowercase) {
            phones.extend_from_slice(self.dictionary.get(std::str::from_utf8(&[letter]).unwrap_or_default()).unwrap_or_default());
        }
    }
}

impl Phonemes {
    /// Is there nothing to say?
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// A pause, unless there is one.
    fn pause(&mut self) {
        if self.phones.last() != Some(&Phone::SIL) {
            self.phones.push(Phone::SIL);
        }
    }
}
