//! Flips of grid weights to a neighbouring level, where their votes agree.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::backend::Weight;
use crate::memory::Span;
use crate::ops::vote::VoteState;
use primal_device::rules::votes::VoteRule;

/// Flips the weights whose votes reach the rule's threshold, which takes from the votes.
#[derive(Clone, Copy, Debug)]
pub struct Flip {
    /// On the grid; codes are updated.
    pub weight: Weight,
    /// Votes are updated.
    pub state: VoteState,
    /// The rule's constants.
    pub rule: VoteRule,
    /// Written: `[flipped, at a rail]`.
    pub counts: Span<u32>,
}
