//! Training: optimizers, schedule, the step, and what is told of it: its record, its progress line, its report.
pub mod learner;
pub mod metrics;
pub mod optimizer;
pub mod patience;
pub mod progress;
pub mod readings;
pub mod report;
pub mod schedule;
pub mod speech;
pub mod tensorboard;
pub mod text;
pub mod trainer;
