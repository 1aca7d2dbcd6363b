//! A run on disk: its state as named tensors, and text or speech from its model.

pub mod sample;
pub mod state;
pub mod voice;
