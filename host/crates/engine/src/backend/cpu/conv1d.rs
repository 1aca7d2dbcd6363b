//! Convolution within sequences, as matrix products over windows of rows that are never copied as a whole (implicit GEMM, Chetlur et al. 2014).

use super::gemm::{Left, Right, for_each_tile, gemm, tile};
use super::linear::Values;
use super::memory::Parts;
use super::sequences::Bounds;
use super::thread_scratch;
use super::windows::{Reversed, Windows};
use crate::backend::ConvolutionShape;

/// What all three products of a convolution are about.
#[derive(Clone, Copy)]
pub struct Convolution<'a> {
    /// Which rows belong together.
    pub bounds: Bounds<'a>,
    /// Taps; odd.
    pub kernel: usize,
    /// Rows from tap to tap.
    pub dilation: usize,
}

impl<'a> Convolution<'a> {
    /// The shape, with the sequences' bounds.
    pub fn new(shape: ConvolutionShape, bounds: Bounds<'a>) -> Self {
        Self { bounds, kernel: shape.kernel, dilation: shape.dilation }
    }

    /// The windows of x `[rows, width]` around each row.
    fn windows(&self, x: &'a [f32], width: usize) -> Windows<'a> {
        assert!(self.kernel % 2 == 1, "a kernel of {} taps has no middle", self.kernel);
        let first = -((self.kernel / 2 * self.dilation) as isize);
        Windows { x, width, first, dilation: self.dilation, bounds: self.bounds }
    }
}

/// Starts rows of y: each with `bias`, or with what it has plus `bias`.
#[inline]
pub(super) fn add_bias(y: &mut [f32], bias: &[f32], accumulate: bool) {
    if accumulate {
        y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
    } else {
        y.copy_from_slice(bias);
    }
}

/// `y = windows(x) · Wᵀ + bias`, or `y += …`; x `[rows, inputs]`, y `[rows, outputs]`, the weight `[outputs, kernel · inputs]`; no bias is an
/// empty one.
#[expect(clippy::too_many_arguments, reason = "an op names all its operands")]
pub fn conv1d(
    y: &mut [f32],
    x: &[f32],
    weight: Values,
    bias: &[f32],
    [outputs, columns]: [usize; 2],
    of: Convolution,
    accumulate: bool,
    scratch: &mut [f32],
) {
    let rows = y.len() / outputs;
    let left = of.windows(x, columns / of.kernel);
    let right = match weight {
        Values::Grid(codes) => Right::Transposed(codes),
        Values::Float(data) => Right::Strided { data, k_stride: 1, column_stride: columns },
    };
    let (y, scratch) = (Parts::new(y), Parts::new(scratch));
    for_each_tile(rows, outputs, columns, |at| {
        if !bias.is_empty() {
            for row in at.row..at.row + at.rows {
                // SAFETY: tiles are disjoint.
                let y = unsafe { y.part(row * outputs + at.column, at.columns) };
                add_bias(y, &bias[at.column..][..at.columns], accumulate);
            }
        }
        // SAFETY: tiles are disjoint, and each thread uses its own scratch.
        unsafe { tile(y.base(), outputs, at, left, right, accumulate || !bias.is_empty(), thread_scratch(&scratch)) };
    });
}

/// `dx = …`, or `dx += …`: the convolution of dy with the taps in reverse, inputs and outputs exchanged.
pub fn backward_input(
    dx: &mut [f32],
    dy: &[f32],
    weight: Values,
    [outputs, columns]: [usize; 2],
    of: Convolution,
    accumulate: bool,
    scratch: &mut [f32],
) {
    let inputs = columns / of.kernel;
    let taps = match weight {
        Values::Grid(codes) => Right::Plain(codes),
        Values::Float(data) => Right::Strided { data, k_stride: columns, column_stride: 1 },
    };
    let right = Reversed { taps, depth: outputs, first: columns - inputs, step: inputs };
    gemm(dx, dx.len() / inputs, inputs, of.kernel * outputs, of.windows(dy, outputs), right, accumulate, scratch);
}

/// `dw = dyᵀ · windows(x)`, or `dw += …`; `inputs` are the values of a row of x.
pub fn backward_weight(dw: &mut [f32], dy: &[f32], x: &[f32], rows: usize, of: Convolution, accumulate: bool, scratch: &mut [f32]) {
    let (outputs, inputs) = (dy.len() / rows, x.len() / rows);
    let left = Left { data: dy, row_stride: 1, k_stride: outputs };
    gemm(dw, outputs, of.kernel * inputs, rows, left, of.windows(x, inputs), accumulate, scratch);
}
