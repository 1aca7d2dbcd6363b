//! Token and position embeddings.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::{Activation, Span};

/// `y[r] = table[ids[r]] + positions[r mod seq]`. An id that is not in the table panics on the CPU.
#[derive(Clone, Copy, Debug)]
pub struct Embedding {
    /// Written, `[tokens, dim]`.
    pub y: Activation,
    /// `[vocab, dim]`.
    pub table: Span<f32>,
    /// `[≥ seq, dim]`.
    pub positions: Span<f32>,
    /// `[tokens]`.
    pub ids: Span<u32>,
    /// Tokens of a sequence.
    pub seq: usize,
    /// Values of a row.
    pub dim: usize,
}

/// Adds the gradients of [`Embedding`], tokens in order.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingBackward {
    /// Added to, `[vocab, dim]`.
    pub d_table: Span<f32>,
    /// Added to, `[≥ seq, dim]`.
    pub d_positions: Span<f32>,
    /// Gradient of y, `[tokens, dim]`.
    pub dy: Span<f32>,
    /// `[tokens]`.
    pub ids: Span<u32>,
    /// The tokens as [`by_id`] sorts them: where those of an id are.
    pub order: Span<u32>,
    /// Tokens of a sequence.
    pub seq: usize,
    /// Values of a row.
    pub dim: usize,
}

/// The tokens by ascending id, those of an id in order, to `order`: a counting sort. Ids are below the length of `places`, which it uses.
pub fn by_id(ids: &[u32], places: &mut [u32], order: &mut [u32]) {
    places.fill(0);
    ids.iter().for_each(|&id| places[id as usize] += 1);
    let mut before = 0;
    for place in places.iter_mut() {
        before += std::mem::replace(place, before);
    }
    for (token, &id) in ids.iter().enumerate() {
        order[places[id as usize] as usize] = token as u32;
        places[id as usize] += 1;
    }
}
