//! Wider scales for rows that press against the rails of their grid.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::backend::Weight;
use crate::ops::vote::VoteState;
use primal_device::rules::votes::VoteRule;

/// Rows with more than `share` of their weights at a rail: scale times `factor`, codes re-encoded, remainders into the votes.
#[derive(Clone, Copy, Debug)]
pub struct RescaleRows {
    /// On the grid, with scales of rows; codes and scales are updated.
    pub weight: Weight,
    /// Votes are updated.
    pub state: VoteState,
    /// The rule's constants.
    pub rule: VoteRule,
    /// Part of a row.
    pub share: f32,
    /// Above 1.
    pub factor: f32,
}
