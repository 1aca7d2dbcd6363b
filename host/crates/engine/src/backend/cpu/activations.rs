//! Kept activations as ops read and write them: where they lie if they are `f32`, else widened and narrowed a part at a time, through scratch.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::gemm::{Left, LeftOperand, Right, RightOperand, RowGroup, TILE_SCRATCH, Tile, tile};
use super::memory::{Memory, Parts, Spans};
use super::scratch::of_thread;
use super::unpack::{Panel, pack_floats_by_row};
use crate::memory::Activation;

/// Values of a column of halves that are widened at a time.
const WIDENED: usize = 32;
/// Columns of the widest panel.
const MAX_WIDTH: usize = 64;

/// Activations that are read.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    /// In single precision.
    F32(&'a [f32]),
    /// In half precision.
    F16(&'a [f16]),
}

/// Activations that are written.
pub enum ValuesMut<'a> {
    /// In single precision.
    F32(&'a mut [f32]),
    /// In half precision.
    F16(&'a mut [f16]),
}

// SAFETY: range and slices are of the same span.
unsafe impl Spans for Activation {
    type Ref<'a> = Values<'a>;
    type Mut<'a> = ValuesMut<'a>;

    fn ranges(&self, out: &mut [(u32, Range<usize>)]) -> usize {
        match self {
            Self::F32(span) => span.ranges(out),
            Self::F16(span) => span.ranges(out),
        }
    }

    unsafe fn slices<'a>(&self, memory: *const Memory) -> Values<'a> {
        // SAFETY: by the caller's contract.
        unsafe {
            match self {
                Self::F32(span) => Values::F32(span.slices(memory)),
                Self::F16(span) => Values::F16(span.slices(memory)),
            }
        }
    }

    unsafe fn slices_mut<'a>(&self, memory: *const Memory) -> ValuesMut<'a> {
        // SAFETY: by the caller's contract.
        unsafe {
            match self {
                Self::F32(span) => ValuesMut::F32(span.slices_mut(memory)),
                Self::F16(span) => ValuesMut::F16(span.slices_mut(memory)),
            }
        }
    }
}

impl<'a> From<&'a [f32]> for Values<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::F32(values)
    }
}

impl<'a> From<&'a mut [f32]> for ValuesMut<'a> {
    fn from(values: &'a mut [f32]) -> Self {
        Self::F32(values)
    }
}

impl<'a> Values<'a> {
    /// Number of values.
    #[expect(clippy::len_without_is_empty, reason = "an operand is a size, not a collection")]
    pub fn len(self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
        }
    }

    /// The values from `start`.
    #[must_use]
    pub fn from(self, start: usize) -> Self {
        match self {
            Self::F32(values) => Self::F32(&values[start..]),
            Self::F16(values) => Self::F16(&values[start..]),
        }
    }

    /// The `len` values from `start`, where they lie or widened to `buffer`, which has room for them.
    pub fn widened<'b>(self, start: usize, len: usize, buffer: &'b mut [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        match self {
            Self::F32(values) => &values[start..][..len],
            Self::F16(values) => {
                let buffer = &mut buffer[..len];
                values[start..][..len].convert_to_f32_slice(buffer);
                buffer
            }
        }
    }

    /// `Σ other[i] · self[start + i]`, in order.
    pub fn dot(self, start: usize, other: &[f32]) -> f32 {
        match self {
            Self::F32(values) => other.iter().zip(&values[start..][..other.len()]).map(|(a, b)| a * b).sum(),
            Self::F16(values) => other.iter().zip(&values[start..][..other.len()]).map(|(a, b)| a * b.to_f32()).sum(),
        }
    }

    /// As a matrix on the left of a product, whose rows begin `stride` values apart.
    pub fn left(self, stride: usize) -> ActivationRows<'a> {
        ActivationRows { values: self, stride }
    }

    /// As a matrix on the right of a product; one of the strides is 1.
    pub fn right(self, k_stride: usize, column_stride: usize) -> ActivationColumns<'a> {
        ActivationColumns { values: self, k_stride, column_stride }
    }
}

/// Activations as the left operand of a product, `[rows, k]`.
#[derive(Clone, Copy)]
pub struct ActivationRows<'a> {
    values: Values<'a>,
    stride: usize,
}

impl LeftOperand for ActivationRows<'_> {
    fn block<'a>(&'a self, rows: RowGroup, k: usize, depth: usize, panel: &'a mut [f32]) -> Left<'a> {
        match self.values {
            Values::F32(data) => {
                let row_stride = rows.step * self.stride;
                Left { data: &data[rows.first * self.stride + k..], row_stride, k_stride: 1 }
            }
            Values::F16(_) => {
                for (i, row) in panel.chunks_exact_mut(depth).enumerate().take(rows.count) {
                    self.values.widened((rows.first + i * rows.step) * self.stride + k, depth, row);
                }
                Left { data: panel, row_stride: depth, k_stride: 1 }
            }
        }
    }
}

/// Activations as the right operand of a product, `[k, columns]`.
#[derive(Clone, Copy)]
pub struct ActivationColumns<'a> {
    values: Values<'a>,
    k_stride: usize,
    column_stride: usize,
}

impl RightOperand for ActivationColumns<'_> {
    fn pack(&self, at: Panel, out: &mut [f32]) {
        let Self { values, k_stride, column_stride } = *self;
        match values {
            Values::F32(data) => Right::Strided { data, k_stride, column_stride }.pack(at, out),
            Values::F16(_) if column_stride == 1 => {
                for (i, row) in out.chunks_exact_mut(at.stride).enumerate() {
                    values.widened((at.k + i) * k_stride + at.column, at.columns, row);
                    row[at.columns..].fill(0.0);
                }
            }
            Values::F16(_) => {
                // Widened along the columns, where values are adjacent.
                let mut block = [0.0; WIDENED * MAX_WIDTH];
                for (i, out) in out.chunks_mut(WIDENED * at.stride).enumerate() {
                    let depth = out.len() / at.stride;
                    for (column, slots) in block.chunks_exact_mut(WIDENED).enumerate().take(at.columns) {
                        values.widened((at.column + column) * column_stride + at.k + i * WIDENED, depth, slots);
                    }
                    pack_floats_by_row(&block, WIDENED, Panel { k: 0, depth, column: 0, ..at }, out);
                }
            }
        }
    }
}

/// Written activations taken apart for tasks: see [`Parts`].
pub enum ValuesParts<'a> {
    /// In single precision.
    F32(Parts<'a, f32>),
    /// In half precision.
    F16(Parts<'a, f16>),
}

impl<'a> ValuesMut<'a> {
    /// Number of values.
    #[expect(clippy::len_without_is_empty, reason = "an operand is a size, not a collection")]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
        }
    }

    /// Takes them apart.
    pub fn parts(self) -> ValuesParts<'a> {
        match self {
            Self::F32(values) => ValuesParts::F32(Parts::new(values)),
            Self::F16(values) => ValuesParts::F16(Parts::new(values)),
        }
    }
}

impl ValuesParts<'_> {
    /// Runs `of` on the `len` values from `start`, which hold what they held: where they lie, or in `buffer`, which has room for them.
    ///
    /// # Safety
    /// No other task may use these values meanwhile.
    pub unsafe fn update(&self, start: usize, len: usize, buffer: &mut [f32], of: impl FnOnce(&mut [f32])) {
        match self {
            // SAFETY: by the caller's contract.
            Self::F32(parts) => of(unsafe { parts.part(start, len) }),
            Self::F16(parts) => {
                // SAFETY: by the caller's contract.
                let (values, buffer) = (unsafe { parts.part(start, len) }, &mut buffer[..len]);
                values.convert_to_f32_slice(buffer);
                of(buffer);
                values.convert_from_f32_slice(buffer);
            }
        }
    }

    /// One tile of a product, as [`tile`] makes it, into rows that begin `stride` values apart, the tile's first value at `start`. `scratch` has
    /// [`TILE_SCRATCH`] values, and room for the tile.
    ///
    /// # Safety
    /// No other task may use the tile's rows and columns meanwhile.
    #[expect(clippy::too_many_arguments, reason = "the operands and place of a product")]
    pub unsafe fn tile(
        &self,
        start: usize,
        stride: usize,
        at: Tile,
        left: impl LeftOperand,
        right: impl RightOperand,
        accumulate: bool,
        scratch: &mut [f32],
    ) {
        match self {
            // SAFETY: by the caller's contract.
            Self::F32(parts) => unsafe { tile(parts.base().add(start), stride, at, left, right, accumulate, scratch) },
            Self::F16(parts) => {
                assert!(!accumulate, "sums are not kept in half precision");
                let (scratch, values) = scratch.split_at_mut(TILE_SCRATCH);
                let values = &mut values[..at.rows * at.columns];
                // SAFETY: the tile's values are this call's own.
                unsafe { tile(values.as_mut_ptr(), at.columns, at, left, right, false, scratch) };
                for (row, values) in values.chunks_exact(at.columns).enumerate() {
                    // SAFETY: by the caller's contract.
                    unsafe { parts.part(start + row * stride, at.columns) }.convert_from_f32_slice(values);
                }
            }
        }
    }
}

/// Runs `of` on the units of `y`, `len` values each, with the same units of the matrices in `x`; its first argument is the number of the unit. A task
/// takes `units` of them. `scratch` is that of all threads.
pub fn for_each_unit<'a, const N: usize>(
    y: impl Into<ValuesMut<'a>>,
    x: [Values; N],
    scratch: &mut [f32],
    [len, units]: [usize; 2],
    of: impl Fn(usize, &mut [f32], [&[f32]; N]) + Sync,
) {
    let y = y.into();
    let count = y.len().div_ceil(len);
    let (total, y, scratch) = (y.len(), y.parts(), Parts::new(scratch));
    (0..count.div_ceil(units)).into_par_iter().for_each(|task| {
        // SAFETY: one scratch a thread; the task does not nest.
        let (buffer, rest) = unsafe { of_thread(&scratch) }.split_at_mut(len);
        for unit in task * units..count.min((task + 1) * units) {
            let start = unit * len;
            let values = len.min(total - start);
            let mut rest = rest.chunks_mut(len);
            let x = x.map(|x| x.widened(start, values, rest.next().expect("scratch for every operand")));
            // SAFETY: each unit belongs to one task.
            unsafe { y.update(start, values, buffer, |y| of(unit, y, x)) };
        }
    });
}
