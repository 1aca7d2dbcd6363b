//! How many weights are at each level.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::backend::Weight;
use crate::memory::Span;

/// `counts[code] =` number of weights with that code.
#[derive(Clone, Copy, Debug)]
pub struct LevelHistogram {
    /// Written, `[16]`.
    pub counts: Span<u32>,
    /// On the grid.
    pub weight: Weight,
}
