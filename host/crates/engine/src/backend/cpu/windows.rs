//! The operands of a convolution as a matrix product: windows of rows, read where they lie, and a weight whose taps come in reverse.

use std::ops::Range;

use super::gemm::{Left, LeftOperand, Right, RightOperand, RowGroup, copy};
use super::sequences::Bounds;
use super::unpack::Panel;

/// Row `r` is made of the rows `r + first + tap · dilation` of x, tap after tap; those outside of r's sequence are zeros.
#[derive(Clone, Copy)]
pub struct Windows<'a> {
    /// `[rows, width]`.
    pub x: &'a [f32],
    /// Values of a row of x.
    pub width: usize,
    /// Row of the first tap, from r on.
    pub first: isize,
    /// Rows from tap to tap.
    pub dilation: usize,
    /// Which rows belong together.
    pub bounds: Bounds<'a>,
}

impl Windows<'_> {
    /// The row of x that a tap of row `r` reads, which may be outside of it.
    fn source(&self, row: usize, tap: usize) -> isize {
        row as isize + self.first + (tap * self.dilation) as isize
    }

    /// Columns `columns` of row `r`, which is in `sequence`, to `out`.
    #[inline]
    fn copy(&self, row: usize, sequence: &Range<usize>, columns: Range<usize>, out: &mut [f32]) {
        let (mut tap, mut channel, mut done) = (columns.start / self.width, columns.start % self.width, 0);
        while done < columns.len() {
            let values = (self.width - channel).min(columns.len() - done);
            let (source, out) = (self.source(row, tap), &mut out[done..][..values]);
            if source >= sequence.start as isize && source < sequence.end as isize {
                copy(out, &self.x[source as usize * self.width + channel..][..values]);
            } else {
                out.fill(0.0);
            }
            (tap, channel, done) = (tap + 1, 0, done + values);
        }
    }
}

impl LeftOperand for Windows<'_> {
    /// Windows that far apart share all their rows but one.
    fn row_step(&self) -> usize {
        self.dilation
    }

    fn block<'a>(&'a self, rows: RowGroup, k: usize, depth: usize, panel: &'a mut [f32]) -> Left<'a> {
        let mut sequence = self.bounds.around(rows.first);
        let taps = [k / self.width, (k + depth - 1) / self.width];
        let (end, channel) = (rows.first + (rows.count - 1) * rows.step, k % self.width);
        let sources = [self.source(rows.first, taps[0]), self.source(end, taps[1])];
        if end < sequence.end && sources[0] >= sequence.start as isize && sources[1] < sequence.end as isize {
            let first = sources[0] as usize * self.width;
            // Adjacent taps are adjacent in memory, so that windows need no copy.
            if self.dilation == 1 || taps[0] == taps[1] {
                return Left { data: &self.x[first + channel..], row_stride: rows.step * self.width, k_stride: 1 };
            }
            // Taps as far apart as the rows are adjacent in a copy of the rows that they share.
            let shared = rows.count + taps[1] - taps[0];
            if rows.step == self.dilation && shared * self.width <= panel.len() {
                for (out, x) in panel.chunks_exact_mut(self.width).take(shared).zip(self.x[first..].chunks(self.dilation * self.width)) {
                    copy(out, &x[..self.width]);
                }
                return Left { data: &panel[channel..], row_stride: self.width, k_stride: 1 };
            }
        }
        for (i, out) in panel.chunks_exact_mut(depth).take(rows.count).enumerate() {
            let row = rows.first + i * rows.step;
            if row >= sequence.end {
                sequence = self.bounds.around(row);
            }
            self.copy(row, &sequence, k..k + depth, out);
        }
        Left { data: panel, row_stride: depth, k_stride: 1 }
    }
}

impl RightOperand for Windows<'_> {
    fn pack(&self, at: Panel, out: &mut [f32]) {
        let mut sequence = 0..0;
        for (i, out) in out.chunks_exact_mut(at.stride).enumerate() {
            let row = at.k + i;
            if row >= sequence.end {
                sequence = self.bounds.around(row);
            }
            let (used, unused) = out.split_at_mut(at.columns);
            self.copy(row, &sequence, at.column..at.column + at.columns, used);
            unused.fill(0.0);
        }
    }
}

/// A weight whose taps come in reverse: element `(tap · depth + i, column)` is element `(i, first − tap · step + column)` of `taps`.
#[derive(Clone, Copy)]
pub struct Reversed<'a> {
    /// All taps, side by side in columns.
    pub taps: Right<'a>,
    /// k of one tap.
    pub depth: usize,
    /// First column of the tap that comes first.
    pub first: usize,
    /// Columns back from tap to tap.
    pub step: usize,
}

impl RightOperand for Reversed<'_> {
    fn pack(&self, at: Panel, out: &mut [f32]) {
        let (mut tap, mut k, mut done) = (at.k / self.depth, at.k % self.depth, 0);
        while done < at.depth {
            let depth = (self.depth - k).min(at.depth - done);
            let column = self.first - tap * self.step + at.column;
            self.taps.pack(Panel { k, depth, column, ..at }, &mut out[done * at.stride..][..depth * at.stride]);
            (tap, k, done) = (tap + 1, 0, done + depth);
        }
    }
}
