//! The three products of a linear layer, over grid or float weights.

use super::gemm::{Left, Right, gemm};
use super::unpack::Codes;

/// A weight's values, `[out_features, in_features]`.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    /// On the grid.
    Grid(Codes<'a>),
    /// Float.
    Float(&'a [f32]),
}

/// `y = x · Wᵀ`; x `[rows, inputs]`, y `[rows, stride]`.
pub fn linear(y: &mut [f32], x: &[f32], weight: Values, [outputs, inputs]: [usize; 2], rows: usize, scratch: &mut [f32]) {
    let left = Left { data: x, row_stride: inputs, k_stride: 1 };
    let right = match weight {
        Values::Grid(codes) => Right::Transposed(codes),
        Values::Float(data) => Right::Strided { data, k_stride: 1, column_stride: inputs },
    };
    gemm(y, rows, outputs, inputs, left, right, false, scratch);
}

/// `dx = dy · W`, or `dx += dy · W`.
pub fn backward_input(
    dx: &mut [f32],
    dy: &[f32],
    weight: Values,
    [outputs, inputs]: [usize; 2],
    rows: usize,
    accumulate: bool,
    scratch: &mut [f32],
) {
    let left = Left { data: dy, row_stride: dy.len() / rows, k_stride: 1 };
    let right = match weight {
        Values::Grid(codes) => Right::Plain(codes),
        Values::Float(data) => Right::Strided { data, k_stride: inputs, column_stride: 1 },
    };
    gemm(dx, rows, inputs, outputs, left, right, accumulate, scratch);
}

/// `dw = dyᵀ · x`, or `dw += dyᵀ · x`.
pub fn backward_weight(dw: &mut [f32], dy: &[f32], x: &[f32], rows: usize, accumulate: bool, scratch: &mut [f32]) {
    let inputs = x.len() / rows;
    let outputs = dw.len() / inputs;
    let left = Left { data: dy, row_stride: 1, k_stride: dy.len() / rows };
    let right = Right::Strided { data: x, k_stride: inputs, column_stride: 1 };
    gemm(dw, outputs, inputs, rows, left, right, accumulate, scratch);
}
