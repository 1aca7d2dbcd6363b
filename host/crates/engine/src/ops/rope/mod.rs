//! Rotary positions (Su et al. 2021): queries and keys turn by an angle for each position, so that their product depends on the distance alone.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use serde::{Deserialize, Serialize};

use crate::memory::Span;

/// Which two values of a head turn together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RotaryPairs {
    /// `2i` and `2i + 1`: the paper, and Llama's rows as GGUF files order them.
    Adjacent,
    /// `i` and `i + rotary_dim/2`: GPT-NeoX, and all of Hugging Face's Llama-like models.
    #[default]
    Halves,
}

/// Turns pair i of each head of row r by the angle whose cosine and sine are in the table's row `positions[r]`, in place:
/// `(a, b) → (a·cos − b·sin, a·sin + b·cos)`. Values of a head beyond the table's width stay. The gradient turns back: `inverse`.
#[derive(Clone, Copy, Debug)]
pub struct Rope {
    /// Read and written, `[rows, heads · head_dim]`.
    pub x: Span<f32>,
    /// `[positions, 2 · pairs]`: cosines of all pairs, then sines.
    pub table: Span<f32>,
    /// Row of the table for each row of x, `[rows]`. One that is not in the table panics on the CPU.
    pub positions: Span<u32>,
    /// Values of a head.
    pub head_dim: usize,
    /// Pairs of a head that turn: at most half its values.
    pub pairs: usize,
    /// Which values turn together.
    pub layout: RotaryPairs,
    /// Whether to turn back.
    pub inverse: bool,
}

impl Rope {
    /// Rows, and values of a row.
    ///
    /// # Panics
    /// If rows are not of whole heads, or more values would turn than a head has.
    fn shape(&self) -> [usize; 2] {
        let rows = self.positions.len();
        let width = self.x.len().checked_div(rows).unwrap_or(0);
        assert!(2 * self.pairs <= self.head_dim, "{} pairs in a head of {}", self.pairs, self.head_dim);
        assert!(rows * width == self.x.len() && width.is_multiple_of(self.head_dim), "{} values in {rows} rows of heads", self.x.len());
        [rows, width]
    }
}
