//! PyTorch checkpoints, read without executing anything.

pub mod pickle;
