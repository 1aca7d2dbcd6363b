//! Speech: what lies between text, phones, mel spectrograms and sound.
//!
//! | file | idea |
//! |---|---|
//! | `phone.rs`      | the 55 symbols that speech is written in |
//! | `sentences.rs`  | long texts in pieces |
//! | `normalise/`    | figures, signs and abbreviations in words |
//! | `lexicon.rs`    | words in phones |
//! | `dictionary.rs` | a pronouncing dictionary in little memory |
//! | `wav.rs`        | WAV files, read checked and written whole |
//! | `mel.rs`        | log-mel spectrograms and energy |
//! | `pitch.rs`      | fundamental frequency |
//! | `draw.rs`       | pictures of mel spectrograms |
//! | `prosody.rs`    | pitch and energy of phones, and the scale that they are learnt on |

pub mod dictionary;
pub mod draw;
pub mod lexicon;
pub mod mel;
pub mod normalise;
pub mod phone;
pub mod pitch;
pub mod prosody;
pub mod sentences;
pub mod wav;

pub use lexicon::{Lexicon, Phonemes};
pub use phone::Phone;
pub use sentences::sentences;
