//! Networks: their parameters, activations, and explicit forward and backward passes over a back end.
//!
//! To add a text model: a file that implements [`TextModel`](text::TextModel), its line in [`registry`], and its row in the tests.

pub mod ghost_tts;
pub mod gpt;
pub mod hifigan;
pub mod registry;
pub mod sample;
pub mod text;

// What a configuration may ask for, attention can do.
const _: () = assert!(crate::config::MAX_CONTEXT <= crate::ops::attention::cpu::MAX_SEQ);
