//! GhostTTS: from phones to a mel spectrogram, all frames at once (after FastSpeech 2, Ren et al. 2021, and FastPitch, Łańcucki 2021).
//!
//! Phones go through an encoder; duration, pitch and energy of each are predicted; pitch and energy are added to the encoder's output, each
//! phone is repeated for its frames, which go through a decoder to a mel spectrogram, and a post-net adds to that. In training, the true
//! durations, pitch and energy are used. Utterances lie one after another in all matrices: no padding exists, so nothing has to be masked.
//!
//! | file | idea |
//! |---|---|
//! | `network.rs` | the whole network: its layers, losses and their gradients |
//! | `batch.rs` | what the network reads |
//! | `predictor.rs` | duration, pitch or energy of a phone |
//! | `postnet.rs` | convolutions over the spectrogram |
//! | `synthesis.rs` | from phones alone to a spectrogram |
//! | `scale.rs` | the scale on which it sees spectrograms |

mod batch;
mod network;
mod postnet;
mod predictor;
mod scale;
mod synthesis;

pub use batch::{Capacity, SpeechBatch, UtteranceInput};
pub use network::{FACTS_KEY, GhostTts, GhostTtsIds, Lengths, TERM_WEIGHTS, TERMS};
pub use scale::MelScale;
pub use synthesis::{Controls, Scales, SpokenMel};
