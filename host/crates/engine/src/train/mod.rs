//! Training: the loop and who watches it, the step, validation, and the state of a run as named tensors.

pub mod begin;
pub mod bytes;
pub mod fit;
mod layers;
pub mod patience;
mod share;
pub mod speech;
pub mod state;
pub mod task;
pub mod text;
pub mod trainer;

pub use layers::{LayerRecord, ScaleSummary};
