//! What ops on any device have as operands, besides spans and numbers.

use half::f16;
use primal_device::grid::{self, Grid, ScaleForm};

use crate::files::Dtype;
use crate::memory::Span;

/// A linear layer's weight, `[out_features, in_features]`.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    /// Rows.
    pub out_features: usize,
    /// Columns.
    pub in_features: usize,
    /// On the grid, float, or in blocks.
    pub storage: Storage,
}

/// How a weight is kept.
#[derive(Clone, Copy, Debug)]
pub enum Storage {
    /// 4-bit codes and scales.
    Grid(GridWeight),
    /// `f32` values, `[out_features, in_features]`.
    Float(Span<f32>),
    /// As another program left it; nothing trains it.
    Blocks(BlockWeight),
}

/// A weight in plain halves or the blocks of another format.
#[derive(Clone, Copy, Debug)]
pub struct BlockWeight {
    /// A type of floats.
    pub dtype: Dtype,
    /// Rows of whole blocks, `[out_features, bytes of a row]`.
    pub bytes: Span<u8>,
}

/// A weight on a grid: levels by their codes, times scales.
#[derive(Clone, Copy, Debug)]
pub struct GridWeight {
    /// Which levels.
    pub grid: &'static Grid,
    /// Packed codes, `[out_features, row_bytes(in_features)]`, low nibble first, padding nibbles [`grid::PADDING`], whatever level that is.
    pub codes: Span<u8>,
    /// What levels are multiplied by.
    pub scales: Scales,
}

/// The scales of a weight: where they lie, or on a device what they are. See [`ScaleForm`].
#[derive(Clone, Copy, Debug)]
pub enum Scales<F = Span<f32>, H = Span<f16>> {
    /// `[out_features]`.
    Row(F),
    /// A factor of numerators for each group.
    Group32 {
        /// `[out_features, groups(in_features)]`.
        step: H,
    },
    /// As above, and what is added to each weight of a group.
    Group32Offset {
        /// `[out_features, groups(in_features)]`.
        step: H,
        /// `[out_features, groups(in_features)]`.
        offset: H,
    },
}

impl<F, H> Scales<F, H> {
    /// Those of rows. (Only they get wider where rows press against the rails.)
    pub fn of_rows(self) -> Option<F> {
        match self {
            Self::Row(scale) => Some(scale),
            Self::Group32 { .. } | Self::Group32Offset { .. } => None,
        }
    }

    /// What there are scales for.
    pub fn form(&self) -> ScaleForm {
        match self {
            Self::Row(_) => ScaleForm::Row,
            Self::Group32 { .. } => ScaleForm::Group32,
            Self::Group32Offset { .. } => ScaleForm::Group32Offset,
        }
    }

    /// The scales that `of_row` and `of_group` make of these.
    pub fn map<G, I>(self, of_row: impl FnOnce(F) -> G, mut of_group: impl FnMut(H) -> I) -> Scales<G, I> {
        match self {
            Self::Row(scale) => Scales::Row(of_row(scale)),
            Self::Group32 { step } => Scales::Group32 { step: of_group(step) },
            Self::Group32Offset { step, offset } => Scales::Group32Offset { step: of_group(step), offset: of_group(offset) },
        }
    }
}

/// The gradients of scales: as the scales, in `f32`.
pub type ScaleGradients = Scales<Span<f32>, Span<f32>>;

impl Scales {
    /// Bytes of what groups have.
    pub fn group_bytes(&self) -> usize {
        match self {
            Self::Row(_) => 0,
            Self::Group32 { step } => step.bytes(),
            Self::Group32Offset { step, offset } => step.bytes() + offset.bytes(),
        }
    }
}

impl GridWeight {
    /// The codes at which a weight can move no further from zero, as [`Grid::rails`] has them; with an offset, zero may lie anywhere, and both ends count.
    pub fn rails(&self) -> [u8; 2] {
        match self.scales {
            Scales::Row(_) | Scales::Group32 { .. } => self.grid.rails(),
            Scales::Group32Offset { .. } => [self.grid.min, self.grid.max],
        }
    }
}

impl Weight {
    /// The grid weight.
    ///
    /// # Panics
    /// If the weight is float: callers decide by the optimizer, not by the data.
    pub fn grid(&self) -> &GridWeight {
        match &self.storage {
            Storage::Grid(grid) => grid,
            Storage::Float(_) | Storage::Blocks(_) => panic!("a float weight has no grid"),
        }
    }

    /// Bytes of one packed row of codes.
    pub fn row_bytes(&self) -> usize {
        grid::row_bytes(self.in_features)
    }

    /// Some rows of a weight on a grid.
    ///
    /// # Panics
    /// As [`grid`](Self::grid), or if they are not rows of it.
    #[must_use]
    pub fn rows(&self, first: usize, count: usize) -> Self {
        let (GridWeight { grid, codes, scales }, bytes) = (*self.grid(), self.row_bytes());
        let groups = grid::groups(self.in_features);
        let scales = scales.map(|row| row.slice(first, count), |group| group.slice(first * groups, count * groups));
        let storage = Storage::Grid(GridWeight { grid, codes: codes.slice(first * bytes, count * bytes), scales });
        Self { out_features: count, storage, ..*self }
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
        /// The place of each row in its sequence, `[rows]`, for layers whose positions have embeddings or angles; empty where there are none.
        positions: Span<u32>,
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

/// Shape of a multi-head attention within sequences: q and out are `[rows, heads · head_dim]`, k and v `[rows, kv_heads · head_dim]`. Query head h reads
/// key head `h / (heads / kv_heads)` (grouped-query attention, Ainslie et al. 2023); with as many of each, its own.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Which rows attend to each other.
    pub sequences: Sequences,
    /// Query heads, a multiple of `kv_heads`.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
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
    /// `kv_heads · head_dim`.
    pub fn kv_dim(&self) -> usize {
        self.kv_heads * self.head_dim
    }
    /// Query heads that share a key head.
    ///
    /// # Panics
    /// If key heads have no equal share of the query heads.
    pub fn group(&self) -> usize {
        let Self { heads, kv_heads, .. } = *self;
        assert!(kv_heads > 0 && heads.is_multiple_of(kv_heads), "{heads} query heads over {kv_heads} key heads");
        heads / kv_heads
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
