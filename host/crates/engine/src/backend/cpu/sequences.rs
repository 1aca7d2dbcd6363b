//! Which rows of a matrix belong together, as the ops of this back end read it.

use std::ops::Range;

use crate::backend::operands::Sequences;
use crate::memory::Span;

/// [`Sequences`] with its offsets at hand.
#[derive(Clone, Copy)]
pub enum Bounds<'a> {
    /// `count` sequences of `len` rows.
    Equal {
        /// Sequences.
        count: usize,
        /// Rows of each.
        len: usize,
    },
    /// Sequence `i` has the rows `offsets[i]..offsets[i + 1]`.
    Ragged {
        /// `[sequences + 1]`.
        offsets: &'a [u32],
        /// Rows of the longest sequence, or more.
        longest: usize,
    },
}

impl<'a> Bounds<'a> {
    /// Checks the offsets; those of equal sequences are empty.
    ///
    /// # Panics
    /// If they do not ascend from 0 to all rows, or a sequence is longer than said.
    pub fn new(sequences: Sequences, offsets: &'a [u32]) -> Self {
        match sequences {
            Sequences::Equal { count, len } => Self::Equal { count, len },
            Sequences::Ragged { rows, longest, .. } => {
                assert_eq!((offsets[0], offsets[offsets.len() - 1] as usize), (0, rows), "first and last offset of sequences");
                let fits = |pair: &[u32]| pair[0] <= pair[1] && (pair[1] - pair[0]) as usize <= longest;
                assert!(offsets.windows(2).all(fits), "offsets ascend by at most {longest}: {offsets:?}");
                Self::Ragged { offsets, longest }
            }
        }
    }

    /// Number of sequences.
    pub fn count(&self) -> usize {
        match *self {
            Self::Equal { count, .. } => count,
            Self::Ragged { offsets, .. } => offsets.len() - 1,
        }
    }

    /// Rows of the longest sequence, or more.
    pub fn longest(&self) -> usize {
        match *self {
            Self::Equal { len, .. } => len,
            Self::Ragged { longest, .. } => longest,
        }
    }

    /// Rows of sequence `index`.
    pub fn range(&self, index: usize) -> Range<usize> {
        match *self {
            Self::Equal { len, .. } => index * len..(index + 1) * len,
            Self::Ragged { offsets, .. } => offsets[index] as usize..offsets[index + 1] as usize,
        }
    }

    /// Rows of the sequence that `row` is in.
    pub fn around(&self, row: usize) -> Range<usize> {
        match *self {
            Self::Equal { count: 1, len } => 0..len,
            Self::Equal { len, .. } => self.range(row / len),
            // The first offset beyond the row ends its sequence, also where others are empty.
            Self::Ragged { offsets, .. } => self.range(offsets.partition_point(|&offset| offset as usize <= row) - 1),
        }
    }
}

/// The offsets of ragged sequences; none of equal ones.
pub fn offsets(sequences: Sequences) -> Span<u32> {
    match sequences {
        Sequences::Equal { .. } => Span::new(0, 0, 0),
        Sequences::Ragged { offsets, .. } => offsets,
    }
}
