//! Networks: their parameters, activations, and explicit forward and backward passes over a back end.

pub mod ghost_tts;
pub mod gpt;
pub mod hifigan;
