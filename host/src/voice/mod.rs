//! Voices: the files that they are made of, and what they say.
//!
//! | file | idea |
//! |---|---|
//! | `voice.rs`     | acoustic model, vocoder and lexicon in a folder |
//! | `embedded.rs`  | the voices in the program, by name |
//! | `vocoder.rs`   | a vocoder with the spectrograms that it was trained on |
//! | `synthesis.rs` | from a text to sound, sentence by sentence |
//! | `pauses.rs`    | how long it is silent between its parts |
//! | `gate.rs`      | silence where pauses are quiet |
//! | `samples.rs`   | what a voice in training says |
//! | `letters.rs`   | phones of a word from its letters, by a language model |
//! | `draw.rs`      | pictures of mel spectrograms |

pub mod draw;
pub mod embedded;
mod gate;
pub mod letters;
mod pauses;
pub mod samples;
pub mod synthesis;
mod vocoder;
#[expect(clippy::module_inception, reason = "the idea has the folder's name")]
pub mod voice;

pub use embedded::english;
pub use vocoder::{ARCHITECTURES, Vocoder, VocoderFile, VocoderModel, require_fit};
pub use voice::{Voice, lexicon};
