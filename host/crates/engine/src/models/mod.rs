//! Networks: their parameters, activations, and explicit forward and backward passes over a back end.
//!
//! To add a text model: a file here, with the table of its configuration ([`TextTable`](crate::config::TextTable)) and the model
//! ([`TextModel`](text::TextModel)); its `mod` below; its name in the list of [`registry`]; and a small one of it in `tests/architectures.rs`, which
//! takes it through every command.

pub mod causal;
pub mod ghost_tts;
pub mod gpt;
pub mod hifigan;
pub mod llama;
pub mod registry;
pub mod sample;
pub mod sequence;
pub mod source_filter;
pub mod text;

// What a configuration may ask for, attention can do.
const _: () = assert!(crate::config::MAX_CONTEXT <= crate::ops::attention::cpu::MAX_SEQ);
