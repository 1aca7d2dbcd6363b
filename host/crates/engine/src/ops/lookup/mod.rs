//! Rows of a weight by number: embeddings that are kept as the weights of linear layers are.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::backend::Weight;
use crate::memory::Span;

/// `y[r] = weight[ids[r]]`. An id that is not in the weight panics on the CPU.
#[derive(Clone, Copy, Debug)]
pub struct Lookup {
    /// Written, `[rows, in]`.
    pub y: Span<f32>,
    /// `[entries, in]`.
    pub weight: Weight,
    /// `[rows]`.
    pub ids: Span<u32>,
}
