//! What is told of a run: its records, its line while it trains, TensorBoard's events, and the page at its end.

pub mod html;
pub mod metrics;
pub mod progress;
pub mod tensorboard;
pub mod told;
