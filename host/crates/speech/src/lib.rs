//! What lies between text, phones, mel spectrograms and sound; bytes in and values out: no file is opened here.
//!
//! | file | idea |
//! |---|---|
//! | `phone.rs`      | the 55 symbols that speech is written in |
//! | `sentences.rs`  | long texts in pieces |
//! | `markup.rs`     | Markdown and HTML as plain text |
//! | `normalise/`    | figures, signs and abbreviations in words |
//! | `lexicon.rs`    | words in phones |
//! | `breaks.rs`     | pauses without punctuation |
//! | `dictionary.rs` | a pronouncing dictionary in little memory |
//! | `exceptions.rs` | words that the voice says otherwise |
//! | `disambiguation.rs` | words that are written alike, by their surroundings |
//! | `homographs.rs` | the same by rules, where there was nothing to learn from |
//! | `morphology.rs` | words made of other words |
//! | `letters.rs`    | the names of the letters |
//! | `g2p.rs`        | phones of unknown words by a joint-sequence model |
//! | `ngram.rs`      | n-grams with backing off |
//! | `spelling.rs`   | lines of letters and phones, for a language model |
//! | `flac.rs`       | FLAC, decoded and checked |
//! | `wav.rs`        | WAV, decoded and checked, and encoded |
//! | `wav_stream.rs` | a WAV that is written while it is spoken |
//! | `mel.rs`        | log-mel spectrograms and energy |
//! | `pitch.rs`      | fundamental frequency |
//! | `prosody.rs`    | pitch and energy of phones, and the scale that they are learnt on |
//! | `make/`         | lexicon files; only with the feature `make-lexicon`, and it does read files |

mod breaks;
pub mod dictionary;
pub mod disambiguation;
#[cfg(test)]
mod english;
mod error;
mod exceptions;
pub mod flac;
pub mod g2p;
mod homographs;
mod letters;
pub mod lexicon;
#[cfg(feature = "make-lexicon")]
pub mod make;
pub mod markup;
pub mod mel;
mod morphology;
pub mod ngram;
pub mod normalise;
pub mod phone;
pub mod pitch;
pub mod prosody;
pub mod sentences;
pub mod spelling;
pub mod wav;
pub mod wav_stream;

pub use error::{Error, Result};
pub use lexicon::{Lexicon, Phonemes};
pub use phone::Phone;
pub use sentences::sentences;
