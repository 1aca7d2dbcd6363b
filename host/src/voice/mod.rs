//! Voices: the files that they are made of, and what they say.
//!
//! | file | idea |
//! |---|---|
//! | `voice.rs`     | acoustic model, vocoder and lexicon in a folder, or in the program |
//! | `vocoder.rs`   | a vocoder with the spectrograms that it was trained on |
//! | `synthesis.rs` | from a text to sound, sentence by sentence |
//! | `samples.rs`   | what a voice in training says |
//! | `draw.rs`      | pictures of mel spectrograms |

pub mod draw;
pub mod letters;
pub mod samples;
pub mod synthesis;
mod vocoder;
#[expect(clippy::module_inception, reason = "the idea has the folder's name")]
pub mod voice;

pub use vocoder::{ARCHITECTURES, Vocoder, VocoderFile, VocoderModel, require_fit};
pub use voice::{Voice, english, lexicon};
