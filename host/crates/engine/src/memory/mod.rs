//! All memory of a run, planned before the first step: named spans in one allocation.
//!
//! A [`Plan`] hands out [`Span`]s; a back end allocates `plan.total_bytes()` once and resolves spans to its memory.

mod activation;
mod plan;
mod span;

pub use activation::{Act, Activation};
pub use plan::{Entry, Kind, Plan};
pub use span::Span;

/// Every span starts on a cache line.
pub const ALIGNMENT: usize = 64;
