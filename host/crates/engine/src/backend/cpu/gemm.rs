//! C = A·B in `f32` on the micro-kernels of the `gemm` crate, with our own packing: the right operand may be a grid weight, unpacked from its
//! codes straight into the panels, so that no float copy of a weight ever exists. Nothing here allocates.
//!
//! Every element of C is one chain of multiply-adds in the order of k, whatever the tiling: results do not depend on threads or tile sizes.

use rayon::prelude::*;

use super::activations::ValuesMut;
use super::memory::Parts;
use super::microkernel::{MicroKernels, micro_kernels};
use super::quantized::{self, Quantized};
use super::scratch::of_thread;
use super::unpack::{Codes, Panel, pack_codes_by_column, pack_codes_by_row, pack_floats_by_row};

/// Depth of a packed block.
const BLOCK_K: usize = 384;
/// Columns of a packed block: with its depth, 192 KiB in L2.
const BLOCK_COLUMNS: usize = 128;
/// Rows of a tile; a block is packed once for all of them.
const BLOCK_ROWS: usize = 512;

/// `f32` values of scratch that a tile needs: a packed block, and the rows of one micro-kernel.
pub const TILE_SCRATCH: usize = BLOCK_K * (BLOCK_COLUMNS + 16);

/// What a product can have on its left.
pub trait LeftOperand: Copy + Sync {
    /// How far apart the rows should be that a micro-kernel takes.
    fn row_step(&self) -> usize {
        1
    }

    /// The values of some rows from `k` to `k + depth`, where they lie or copied to `panel`, which has room for as many rows of this depth as the
    /// largest micro-kernel takes.
    fn block<'a>(&'a self, rows: RowGroup, k: usize, depth: usize, panel: &'a mut [f32]) -> Left<'a>;
}

/// Rows that a micro-kernel takes: `first`, `first + step`, and so on.
#[derive(Clone, Copy, Debug)]
pub struct RowGroup {
    /// The first row.
    pub first: usize,
    /// Values from one row to the next.
    pub step: usize,
    /// Number of rows.
    pub count: usize,
}

impl RowGroup {
    /// Cuts `rows` rows into groups of at most `height`, `step` apart but for the last ones, which are adjacent.
    fn groups(rows: usize, height: usize, step: usize) -> impl Iterator<Item = Self> {
        let band = height * step;
        let banded = rows / band * band;
        let apart = (0..banded / height).map(move |i| Self { first: i / step * band + i % step, step, count: height });
        apart.chain((banded..rows).step_by(height).map(move |first| Self { first, step: 1, count: height.min(rows - first) }))
    }
}

/// What a product can have on its right.
pub trait RightOperand: Copy + Sync {
    /// Packs one panel; what is beyond the columns in use may be anything.
    fn pack(&self, at: Panel, out: &mut [f32]);
}

/// The left operand: element `(row, k)` is `data[row · row_stride + k · k_stride]`.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    /// All values.
    pub data: &'a [f32],
    /// From row to row.
    pub row_stride: usize,
    /// From k to k.
    pub k_stride: usize,
}

impl Left<'_> {
    /// Checks that it has so many rows, of so many values.
    fn require(&self, rows: usize, depth: usize) {
        let end = |count: usize, stride: usize| (count - 1).checked_mul(stride);
        let last = end(rows, self.row_stride).zip(end(depth, self.k_stride)).and_then(|(row, k)| row.checked_add(k));
        assert!(last.is_some_and(|last| last < self.data.len()), "left operand of {} values", self.data.len());
    }
}

impl LeftOperand for Left<'_> {
    fn block<'a>(&'a self, RowGroup { first, step, count }: RowGroup, k: usize, depth: usize, panel: &'a mut [f32]) -> Left<'a> {
        let row_stride = step * self.row_stride;
        let at = Left { data: &self.data[first * self.row_stride + k * self.k_stride..], row_stride, k_stride: self.k_stride };
        if self.k_stride == 1 {
            return at;
        }
        let height = panel.len() / depth;
        at.require(count, depth);
        // SAFETY: the last element was just checked.
        unsafe { gather(at.data.as_ptr(), self.k_stride, row_stride, count, height, panel) };
        Left { data: panel, row_stride: 1, k_stride: height }
    }
}

/// The right operand, `[k, columns]`.
#[derive(Clone, Copy)]
pub enum Right<'a> {
    /// Element `(k, column)` is `data[k · k_stride + column · column_stride]`.
    Strided {
        /// All values.
        data: &'a [f32],
        /// From k to k.
        k_stride: usize,
        /// From column to column.
        column_stride: usize,
    },
    /// Wᵀ: k runs along the rows of the grid weight, columns are its output features.
    Transposed(Codes<'a>),
    /// W: k are its output features, columns run along its rows.
    Plain(Codes<'a>),
    /// As `Transposed`, of a weight in blocks.
    TransposedBlocks(Quantized<'a>),
    /// As `Plain`, of a weight in blocks.
    PlainBlocks(Quantized<'a>),
}

impl RightOperand for Right<'_> {
    fn pack(&self, at: Panel, out: &mut [f32]) {
        match *self {
            Self::Strided { data, k_stride, column_stride: 1 } => {
                for (i, row) in out.chunks_exact_mut(at.stride).enumerate() {
                    let source = &data[(at.k + i) * k_stride + at.column..][..at.columns];
                    copy(row, source);
                }
            }
            Self::Strided { data, k_stride, column_stride } => {
                assert_eq!(k_stride, 1, "one of the strides is 1");
                pack_floats_by_row(data, column_stride, at, out);
            }
            Self::Transposed(codes) => pack_codes_by_row(&codes, at, out),
            Self::Plain(codes) => pack_codes_by_column(&codes, at, out),
            Self::TransposedBlocks(blocks) => quantized::pack_by_row(&blocks, at, out),
            Self::PlainBlocks(blocks) => quantized::pack_by_column(&blocks, at, out),
        }
    }
}

/// Copies a row of a panel, by whole vectors where its width is usual, and fills up with zeros.
#[inline]
pub(super) fn copy(row: &mut [f32], source: &[f32]) {
    fn whole<const N: usize>(row: &mut [f32], source: &[f32]) {
        let source: &[f32; N] = source.try_into().expect("N columns");
        *<&mut [f32; N]>::try_from(row).expect("N columns") = *source;
    }
    match (row.len(), source.len()) {
        (16, 16) => whole::<16>(row, source),
        (32, 32) => whole::<32>(row, source),
        (64, 64) => whole::<64>(row, source),
        (_, columns) => {
            row[..columns].copy_from_slice(source);
            row[columns..].fill(0.0);
        }
    }
}

/// Where a tile lies: `rows × columns` of C from `(row, column)`, and the depth of the product.
#[derive(Clone, Copy, Debug)]
pub struct Tile {
    /// First row of C and of the left operand.
    pub row: usize,
    /// Rows.
    pub rows: usize,
    /// First column of C and of the right operand.
    pub column: usize,
    /// Columns.
    pub columns: usize,
    /// Depth.
    pub k: usize,
}

impl Tile {
    /// Where the tile begins in C, whose rows begin `stride` values apart.
    pub fn start(&self, stride: usize) -> usize {
        self.row * stride + self.column
    }
}

/// One tile of C on the calling thread: `C = A·B`, or `C += A·B`.
///
/// `c` points to the tile's first element, `stride` is C's row stride, `scratch` has [`TILE_SCRATCH`] values.
///
/// # Safety
/// C must be valid for the tile's rows and columns, and no other thread may touch them.
pub unsafe fn tile(
    c: *mut f32,
    stride: usize,
    at: Tile,
    left: impl LeftOperand,
    right: impl RightOperand,
    accumulate: bool,
    scratch: &mut [f32],
) {
    let micro_kernels = micro_kernels();
    let (width, height) = (micro_kernels.width, micro_kernels.height);
    let (block, left_panel) = scratch[..TILE_SCRATCH].split_at_mut(BLOCK_K * BLOCK_COLUMNS);
    for column in (0..at.columns).step_by(BLOCK_COLUMNS) {
        let columns = BLOCK_COLUMNS.min(at.columns - column);
        for k in (0..at.k).step_by(BLOCK_K) {
            let depth = BLOCK_K.min(at.k - k);
            for (p, first) in (0..columns).step_by(width).enumerate() {
                let panel = panel(micro_kernels, k, depth, at.column + column + first, columns - first);
                right.pack(panel, &mut block[p * depth * width..][..depth * panel.stride]);
            }
            let status = u8::from(accumulate || k > 0);
            for group in RowGroup::groups(at.rows, height, left.row_step()) {
                let rows = RowGroup { first: at.row + group.first, ..group };
                let a = left.block(rows, k, depth, &mut left_panel[..depth * height]);
                a.require(rows.count, depth);
                for (p, first) in (0..columns).step_by(width).enumerate() {
                    let panel = panel(micro_kernels, k, depth, at.column + column + first, columns - first);
                    let b = block[p * depth * width..].as_ptr();
                    // SAFETY: the packed panel holds depth·stride values, A holds rows × depth, C is valid by the caller's contract.
                    unsafe {
                        let dst = c.add((rows.first - at.row) * stride + panel.column - at.column);
                        (micro_kernels.select)(panel.stride / micro_kernels.lanes, rows.count)(
                            panel.columns,
                            rows.count,
                            depth,
                            dst,
                            b,
                            a.data.as_ptr(),
                            (rows.step * stride) as isize,
                            1,
                            panel.stride as isize,
                            a.k_stride as isize,
                            a.row_stride as isize,
                            1.0,
                            1.0,
                            status,
                            false,
                            false,
                            false,
                            b,
                        );
                    }
                }
            }
        }
    }
}

/// The panel from `column` on, of at most `columns`.
fn panel(micro_kernels: &MicroKernels, k: usize, depth: usize, column: usize, columns: usize) -> Panel {
    let columns = columns.min(micro_kernels.width);
    Panel { k, depth, column, columns, stride: columns.next_multiple_of(micro_kernels.lanes) }
}

/// Rows far apart in memory, gathered once for all panels: `[depth][height]`, of which `rows` are filled.
///
/// # Safety
/// `a` must be valid for `rows × depth` elements with these strides.
unsafe fn gather(a: *const f32, k_stride: usize, row_stride: usize, rows: usize, height: usize, panel: &mut [f32]) {
    if row_stride == 1 && rows == 6 && height == 6 {
        for (i, slots) in panel.chunks_exact_mut(6).enumerate() {
            // SAFETY: six adjacent rows.
            slots.copy_from_slice(unsafe { std::slice::from_raw_parts(a.add(i * k_stride), 6) });
        }
        return;
    }
    for (i, slots) in panel.chunks_exact_mut(height).enumerate() {
        for (j, slot) in slots.iter_mut().enumerate().take(rows) {
            // SAFETY: by the caller's contract.
            *slot = unsafe { *a.add(i * k_stride + j * row_stride) };
        }
    }
}

/// `C = A·B`, or `C += A·B` in `f32`, over the threads of the pool; C is `[rows, stride]`, of which the first `columns` are written.
#[expect(clippy::too_many_arguments, reason = "the operands and shape of a product")]
pub fn gemm<'a>(
    c: impl Into<ValuesMut<'a>>,
    rows: usize,
    columns: usize,
    k: usize,
    left: impl LeftOperand,
    right: impl RightOperand,
    accumulate: bool,
    scratch: &mut [f32],
) {
    let c = c.into();
    let stride = c.len() / rows;
    assert!(stride >= columns && c.len() == rows * stride, "the product's shape");
    let (c, scratch) = (c.parts(), Parts::new(scratch));
    for_each_tile(rows, columns, k, |at| {
        // SAFETY: tiles are disjoint, and each thread uses its own scratch.
        unsafe { c.tile(at.start(stride), stride, at, left, right, accumulate, of_thread(&scratch)) };
    });
}

/// Cuts C, `[rows, columns]`, into tiles and runs them over the threads of the pool.
pub fn for_each_tile(rows: usize, columns: usize, k: usize, run: impl Fn(Tile) + Sync) {
    let threads = rayon::current_num_threads();
    let (mut tile_rows, mut tile_columns) = (BLOCK_ROWS.min(rows), BLOCK_COLUMNS.min(columns));
    // A few tiles a thread balance the load; smaller ones would pack more than they multiply.
    if threads > 1 {
        let MicroKernels { width, height, .. } = *micro_kernels();
        while rows.div_ceil(tile_rows) * columns.div_ceil(tile_columns) < 3 * threads {
            if tile_columns >= tile_rows && tile_columns > width.max(48) {
                tile_columns = (tile_columns / 2).next_multiple_of(width);
            } else if tile_rows > 48 {
                tile_rows = (tile_rows / 2).next_multiple_of(height);
            } else {
                break;
            }
        }
    }
    let (down, across) = (rows.div_ceil(tile_rows), columns.div_ceil(tile_columns));
    let run = |index: usize| {
        let (row, column) = (index / across * tile_rows, index % across * tile_columns);
        run(Tile { row, rows: tile_rows.min(rows - row), column, columns: tile_columns.min(columns - column), k });
    };
    if down * across == 1 || threads == 1 {
        (0..down * across).for_each(run);
    } else {
        (0..down * across).into_par_iter().with_max_len(1).for_each(run);
    }
}
