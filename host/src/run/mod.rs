//! A run on disk: which it is, its state as named tensors, and text from its model.

pub mod identity;
pub mod sample;
pub mod state;
