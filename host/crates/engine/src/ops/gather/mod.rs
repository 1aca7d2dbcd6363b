//! Rows of a table by number: embeddings without positions, and the repetition of a phone's row for each of its frames.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::Span;

/// `y[r] = table[ids[r]]`, or `y[r] += …`. An id that is not in the table panics on the CPU.
#[derive(Clone, Copy, Debug)]
pub struct Gather {
    /// Written, `[rows, dim]`.
    pub y: Span<f32>,
    /// `[entries, dim]`.
    pub table: Span<f32>,
    /// `[rows]`.
    pub ids: Span<u32>,
    /// Values of a row.
    pub dim: usize,
    /// Whether to add to y.
    pub accumulate: bool,
}

/// `d_table[ids[r]] += dy[r]`, in the order of r.
#[derive(Clone, Copy, Debug)]
pub struct GatherBackward {
    /// Added to, `[entries, dim]`.
    pub d_table: Span<f32>,
    /// Gradient of y, `[rows, dim]`.
    pub dy: Span<f32>,
    /// `[rows]`.
    pub ids: Span<u32>,
    /// Values of a row.
    pub dim: usize,
}
