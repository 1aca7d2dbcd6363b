//! What happens around a training step: its record, its progress line, its report.
pub mod metrics;
