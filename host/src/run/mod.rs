//! A run on disk: its state as named tensors, and text from its model.

pub mod sample;
pub mod state;
