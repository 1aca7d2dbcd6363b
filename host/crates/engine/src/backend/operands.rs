//! What ops on any device have as operands, besides spans and numbers.

use primal_device::grid::{self, GridId};

use crate::memory::Span;

/// A linear layer's weight, `[out_features, in_features]`.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    /// Rows.
    pub out_features: usize,
    /// Columns.
    pub in_features: usize,
    /// On the grid, or float.
    pub storage: Storage,
}

/// How a weight is kept.
#[derive(Clone, Copy, Debug)]
pub enum Storage {
    /// 4-bit codes and one scale a row.
    Grid(GridWeight),
    /// `f32` values, `[out_features, in_features]`.
    Float(Span<f32>),
}

/// A weight on a grid: `w[i][j] = scale[i] · level[code[i][j]]`.
#[derive(Clone, Copy, Debug)]
pub struct GridWeight {
    /// Which levels.
    pub grid: GridId,
    /// Packed codes, `[out_features, row_bytes(in_features)]`, low nibble first, padding nibbles at the zero level.
    pub codes: Span<u8>,
    /// Row scales, `[out_features]`.
    pub scale: Span<f32>,
}

impl Weight {
    /// The grid weight.
    ///
    /// # Panics
    /// If the weight is float: callers decide by the optimizer, not by the data.
    pub fn grid(&self) -> &GridWeight {
        match &self.storage {
            Storage::Grid(grid) => grid,
            Storage::Float(_) => panic!("a float weight has no grid"),
        }
    }

    /// Bytes of one packed row of codes.
    pub fn row_bytes(&self) -> usize {
        grid::row_bytes(self.in_features)
    }

    /// Floating-point operations of a product with so many rows.
    pub fn flops(&self, rows: usize) -> usize {
        2 * rows * self.out_features * self.in_features
    }
}

/// Where sequences lie in the rows of a matrix: one after another, without padding.
#[derive(Clone, Copy, Debug)]
pub enum Sequences {
    /// `count` sequences of `len` rows.
    Equal {
        /// Sequences.
        count: usize,
        /// Rows of each.
        len: usize,
    },
    /// Sequence `i` has the rows `offsets[i]..offsets[i + 1]`.
    Ragged {
        /// `[sequences + 1]`, ascending, from 0 to `rows`.
        offsets: Span<u32>,
        /// Rows of all sequences.
        rows: usize,
        /// Rows of the longest sequence, or more.
        longest: usize,
    },
}

impl Sequences {
    /// All rows in one sequence.
    pub fn one(rows: usize) -> Self {
        Self::Equal { count: 1, len: rows }
    }

    /// Number of sequences.
    pub fn count(&self) -> usize {
        match *self {
            Self::Equal { count, .. } => count,
            Self::Ragged { offsets, .. } => offsets.len() - 1,
        }
    }
    /// Rows of all sequences.
    pub fn rows(&self) -> usize {
        match *self {
            Self::Equal { count, len } => count * len,
            Self::Ragged { rows, .. } => rows,
        }
    }
    /// Rows of the longest sequence, or more.
    pub fn longest(&self) -> usize {
        match *self {
            Self::Equal { len, .. } => len,
            Self::Ragged { longest, .. } => longest,
        }
    }
}

/// Shape of a multi-head attention within sequences: q, k, v and out are `[rows, heads · head_dim]`.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Which rows attend to each other.
    pub sequences: Sequences,
    /// Heads.
    pub heads: usize,
    /// Width of a head; the scores are divided by its root.
    pub head_dim: usize,
    /// Whether a row sees only itself and earlier rows.
    pub causal: bool,
}

impl AttentionShape {
    /// `heads · head_dim`.
    pub fn dim(&self) -> usize {
        self.heads * self.head_dim
    }
    /// Rows of all sequences.
    pub fn tokens(&self) -> usize {
        self.sequences.rows()
    }

    /// Floating-point operations of so many products over the pairs of rows that see each other. Ragged sequences count as if they had one length, which
    /// is the least that they can have.
    pub fn flops(&self, products: usize) -> usize {
        let (rows, count) = (self.tokens(), self.sequences.count().max(1));
        let pairs = if self.causal { rows * (rows / count + 1) / 2 } else { rows * rows / count };
        2 * products * self.dim() * pairs
    }
}
