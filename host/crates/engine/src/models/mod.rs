//! Networks: their parameters, activations, and explicit forward and backward passes over a back end.

pub mod ghost_tts;
pub mod gpt;
pub mod hifigan;

// What a configuration may ask for, attention can do.
const _: () = assert!(crate::config::MAX_CONTEXT <= crate::ops::attention::cpu::MAX_SEQ);
