//! From a text to phones.

use std::io::Read;
use std::ops::Range;
use std::sync::OnceLock;

use super::dictionary::Dictionary;
use super::disambiguation::{self, Disambiguator};
use super::g2p::G2p;
use super::normalise::{Spoken, Warning, normalise};
use super::phone::Phone;
use super::{breaks, exceptions, homographs, letters, morphology, sentences};
use crate::{Error, Result};

/// The first bytes of a lexicon file; the checksum and the packed lexicon follow.
const MAGIC: &[u8; 16] = b"PRIMAL lexicon 2";
/// The first bytes of a lexicon file that knows no homographs.
const MAGIC_WITHOUT: &[u8; 16] = b"PRIMAL lexicon 1";
/// Bytes that a lexicon has when it is unpacked, at most: six times those of a large one.
const MOST: u64 = 1 << 24;
/// Longer words are spelled out.
const LONGEST: usize = 40;

/// What is needed to turn English text into phones: a pronouncing dictionary, and what knows about the other words.
pub struct Lexicon {
    dictionary: Dictionary,
    /// The packed model, and the model once it was needed.
    packed_model: Vec<u8>,
    model: OnceLock<G2p>,
    homographs: Disambiguator,
}

/// How a word's phones were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// In the dictionary.
    Dictionary,
    /// In the dictionary, which has several words that are written like it: the words around decided.
    Homograph,
    /// From simpler words of the dictionary, by a rule of this name.
    Rule(&'static str),
    /// As the names of its letters.
    Letters,
    /// By the model.
    Model,
}

impl Found {
    /// Name of the way.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dictionary => "dictionary",
            Self::Homograph => "homograph",
            Self::Rule(rule) => rule,
            Self::Letters => "letters",
            Self::Model => "model",
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
    /// Bytes of the word in the text.
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
    /// Reads a lexicon file's bytes; `name` is for errors.
    ///
    /// # Errors
    /// Bytes that are damaged or no lexicon.
    pub fn from_bytes(bytes: &[u8], name: impl ToString) -> Result<Self> {
        let name = name.to_string();
        Self::trusted(bytes, &name)?.checked(name)
    }

    /// Reads the bytes of a lexicon that is known to be whole: the model for unknown words is read when it is first needed.
    ///
    /// # Errors
    /// As [`Lexicon::from_bytes`], but for that model.
    pub fn trusted(bytes: &[u8], name: &str) -> Result<Self> {
        let broken = |found: &str| Error::invalid(name, "a lexicon", found, "use the file that came with the voice");
        let (rest, has_homographs) = match (bytes.strip_prefix(MAGIC), bytes.strip_prefix(MAGIC_WITHOUT)) {
            (Some(rest), _) => (rest, true),
            (_, Some(rest)) => (rest, false),
            _ => return Err(broken("another kind of file")),
        };
        let (sum, packed) = rest.split_first_chunk().ok_or_else(|| broken("a truncated file"))?;
        if u32::from_le_bytes(*sum) != crc32c::crc32c(packed) {
            return Err(broken("a damaged or truncated file"));
        }
        let decoder = ruzstd::decoding::StreamingDecoder::new(packed).map_err(|_| broken("a damaged file"))?;
        let mut content = Vec::new();
        decoder.take(MOST + 1).read_to_end(&mut content).map_err(|_| broken("a damaged file"))?;
        if content.len() as u64 > MOST {
            return Err(broken(&format!("one that unpacks to more than {} MiB", MOST >> 20)));
        }
        let mut rest = &content[..];
        let mut part = || {
            let (length, tail) = rest.split_first_chunk()?;
            let (part, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = tail;
            Some(part)
        };
        let dictionary = part().ok_or_else(|| broken("a truncated file"))?;
        let dictionary = Dictionary::unpack(dictionary).ok_or_else(|| broken("one whose dictionary makes no sense"))?;
        let homographs = if has_homographs {
            let packed = part().ok_or_else(|| broken("a truncated file"))?;
            Disambiguator::unpack(packed).ok_or_else(|| broken("one whose homographs make no sense"))?
        } else {
            Disambiguator::default()
        };
        Ok(Self { dictionary, packed_model: rest.into(), model: OnceLock::new(), homographs })
    }

    /// Reads the model at once, which is otherwise read when it is needed: that of a file may make no sense.
    fn checked(self, name: impl ToString) -> Result<Self> {
        let model = G2p::unpack(&self.packed_model).ok_or_else(|| {
            let found = "one whose model of pronunciation makes no sense";
            Error::invalid(name, "a lexicon", found, "use the file that came with the voice")
        })?;
        Ok(Self { model: model.into(), ..self })
    }

    /// A lexicon file's bytes, of a packed dictionary, packed homographs and a packed model; `compress` makes a zstd frame.
    pub fn to_file(dictionary: &[u8], homographs: &[u8], model: &[u8], compress: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let mut content = Vec::new();
        for part in [dictionary, homographs] {
            content.extend_from_slice(&(part.len() as u32).to_le_bytes());
            content.extend_from_slice(part);
        }
        content.extend_from_slice(model);
        let packed = compress(&content);
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(&packed).to_le_bytes());
        bytes.extend_from_slice(&packed);
        bytes
    }

    /// The file of this lexicon with other homographs.
    pub fn with_homographs(&self, homographs: &Disambiguator, compress: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
        Self::to_file(&Dictionary::pack(self.dictionary.iter()), &homographs.pack(), &self.packed_model, compress)
    }

    /// What tells its homographs apart.
    pub fn homographs(&self) -> &Disambiguator {
        &self.homographs
    }

    /// What a text sounds like.
    pub fn phonemes(&self, text: &str) -> Phonemes {
        let normalised = normalise(text, &|word| self.knows(word));
        let mut all = Phonemes { phones: vec![Phone::SIL], warnings: normalised.warnings, ..Phonemes::default() };
        let tokens = disambiguation::tokens(text, &normalised.items);
        let said = (0..tokens.len()).filter(|&at| !matches!(tokens[at].text, disambiguation::PAUSE | disambiguation::LETTER));
        let mut chosen = said.map(|at| self.homographs.phones(&tokens, at)).collect::<Vec<_>>().into_iter();
        let items = breaks::add(normalised.items.clone());
        let words: Vec<&str> = items.iter().filter_map(|item| item.spoken.word()).collect();
        let mut at = 0;
        for item in &items {
            let first = all.phones.len();
            let (text, phones, found) = match &item.spoken {
                Spoken::Silence => continue,
                Spoken::Pause => {
                    all.pause();
                    continue;
                }
                Spoken::Letter(letter) => (letter.to_ascii_uppercase().to_string(), letters::name(*letter), Found::Letters),
                Spoken::Word(word) => {
                    let by_rule = || homographs::phones(&words, at);
                    let (phones, found) = match chosen.next().flatten().map(<[Phone]>::to_vec).or_else(by_rule) {
                        Some(phones) => (phones, Found::Homograph),
                        None => self.word(word),
                    };
                    (word.clone(), phones, found)
                }
            };
            at += usize::from(item.spoken.word().is_some());
            if found == Found::Letters && text.len() > LONGEST {
                let kind = "a word of more than 40 letters, spelled out";
                all.warnings.push(Warning { text: text.clone(), source: item.source.clone(), kind });
            }
            all.phones.extend(phones);
            all.words.push(Word { text, phones: first..all.phones.len(), source: item.source.clone(), found });
        }
        all.pause();
        all.warnings.sort_by_key(|warning| warning.source.start);
        all
    }

    /// What a text of any length sounds like, in the pieces in which it is spoken.
    pub fn pieces(&self, text: &str) -> Phonemes {
        let mut all = Phonemes { phones: vec![Phone::SIL], ..Phonemes::default() };
        for piece in sentences(text) {
            let start = piece.as_ptr() as usize - text.as_ptr() as usize;
            let Phonemes { phones, words, warnings } = self.phonemes(piece);
            // The pause at its start is the one that is there.
            let first = all.phones.len() - 1;
            let moved = |range: Range<usize>, by: usize| range.start + by..range.end + by;
            all.words.extend(words.into_iter().map(|word| Word {
                phones: moved(word.phones, first),
                source: moved(word.source, start),
                ..word
            }));
            all.warnings.extend(warnings.into_iter().map(|warning| Warning { source: moved(warning.source, start), ..warning }));
            all.phones.extend_from_slice(&phones[1..]);
        }
        all
    }

    /// The phones of a word in small letters, whatever stands around it, and how they were found.
    pub fn word(&self, word: &str) -> (Vec<Phone>, Found) {
        if let Some(phones) = self.known(word) {
            return (phones, Found::Dictionary);
        }
        if let Some((phones, rule)) = morphology::derive(word, &|word| self.known(word)) {
            return (phones, Found::Rule(rule));
        }
        let speakable = word.contains(['a', 'e', 'i', 'o', 'u', 'y']) && word.len() <= LONGEST;
        let phones = if speakable { self.model().phones(word) } else { Vec::new() };
        if phones.is_empty() { (word.chars().flat_map(letters::name).collect(), Found::Letters) } else { (phones, Found::Model) }
    }

    /// Is the word in the dictionary?
    pub fn knows(&self, word: &str) -> bool {
        exceptions::phones(word).is_some() || self.dictionary.contains(word)
    }

    /// The model of words that no dictionary has.
    pub fn model(&self) -> &G2p {
        self.model.get_or_init(|| G2p::unpack(&self.packed_model).expect("a trusted lexicon has a model"))
    }

    fn known(&self, word: &str) -> Option<Vec<Phone>> {
        exceptions::phones(word).map(<[Phone]>::to_vec).or_else(|| self.dictionary.get(word).map(<[Phone]>::to_vec))
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

#[cfg(test)]
#[path = "lexicon_tests.rs"]
mod tests;
