//! What happens around a training step: its record, its progress line, its report.
mod append;
pub mod metrics;
pub mod progress;
pub mod report;
pub mod tensorboard;
