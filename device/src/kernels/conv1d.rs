//! Convolution within sequences, and its gradients, as the products of a linear layer over windows of rows.
//!
//! All are tiles of `common::gemm` on the operands of `common::windows`: 128 threads, 25,664 bytes of shared memory, `f32` sums. Items:
//! columns of the result in x, rows in y. The weight is `[outputs, taps · inputs]`, column `tap · inputs + channel`; `taps` is odd. `grid` is
//! its grid; codes are `[outputs, row_bytes]`, rows padded to 32 codes and aligned to 16 bytes. `offsets`
//! are the sequences' first rows, `[sequences + 1]`, or null for sequences of `len` rows.

use super::sizes::tiles::{COVERS, SHARED, THREADS};
use crate::grid::Grid;
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::gemm::{AcrossK, AlongK, CodesAlongK, Target, gemm, tile};
    use super::common::scaling::{GroupScales, Levels, RowScales};
    use super::common::windows::{Sequences, TapCodesAcrossK, TapShape, Taps, TapsAcrossK, Windows, WindowsAcrossK, padded};
    use super::linear::plain;
    use crate::grid::row_bytes;

    /// What the taps reach forwards, centred.
    #[inline(always)]
    fn forward(taps: u32, dilation: u32) -> Taps {
        Taps { count: taps, first: -((taps / 2 * dilation) as i32), step: dilation as i32 }
    }

    /// The rows of y that a row of x went to: the same, mirrored.
    #[inline(always)]
    fn backward(taps: u32, dilation: u32) -> Taps {
        let Taps { count, first, step } = forward(taps, dilation);
        Taps { count, first: -first, step: -step }
    }
}

kernels! {
    /// `y = conv1d(x) + bias`, or `y += …` if `accumulate` is 1; y `[rows, outputs]`, x `[rows, inputs]`, scale `[outputs]`, bias `[outputs]` or
    /// null.
    fn conv1d_grid(
        y: *mut f32, x: *const f32, codes: *const u8, scale: *const f32, grid: *const Grid, bias: *const f32,
        offsets: *const u32, sequences: u32, len: u32, rows: u32, outputs: u32, inputs: u32, taps: u32, dilation: u32, accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let a = Windows::new(x, Sequences { offsets, count: sequences, len, rows }, forward(taps, dilation), row, inputs, inputs);
        let b = CodesAlongK::<Levels> { codes, scaling: Levels, row_bytes: row_bytes((taps * inputs) as usize), first: column, outputs };
        let target = Target { column_scale: scale, bias, biases: outputs, ..plain(y, rows, outputs, accumulate) };
        gemm(target, a, b, taps * inputs, Some(&*grid));
    }

    /// `conv1d_grid` where groups have scales: halves, step `[outputs, ⌈taps · inputs / 32⌉]`, offset as step or null.
    fn conv1d_groups(
        y: *mut f32, x: *const f32, codes: *const u8, step: *const u16, offset: *const u16, grid: *const Grid, bias: *const f32,
        offsets: *const u32, sequences: u32, len: u32, rows: u32, outputs: u32, inputs: u32, taps: u32, dilation: u32, accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let a = Windows::new(x, Sequences { offsets, count: sequences, len, rows }, forward(taps, dilation), row, inputs, inputs);
        let scaling = GroupScales::new(step, offset, taps * inputs);
        let b = CodesAlongK::<_> { codes, scaling, row_bytes: row_bytes((taps * inputs) as usize), first: column, outputs };
        gemm(Target { bias, biases: outputs, ..plain(y, rows, outputs, accumulate) }, a, b, taps * inputs, Some(&*grid));
    }

    /// `conv1d_grid` over a float weight.
    fn conv1d_float(
        y: *mut f32, x: *const f32, weight: *const f32, bias: *const f32,
        offsets: *const u32, sequences: u32, len: u32, rows: u32, outputs: u32, inputs: u32, taps: u32, dilation: u32, accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let a = Windows::new(x, Sequences { offsets, count: sequences, len, rows }, forward(taps, dilation), row, inputs, inputs);
        let b = AlongK::<2>::new(weight, column, outputs, taps * inputs);
        gemm(Target { bias, biases: outputs, ..plain(y, rows, outputs, accumulate) }, a, b, taps * inputs, None);
    }

    /// The gradient of x: `dx = …`, or `dx += …` if `accumulate` is 1; dx `[rows, inputs]`, dy `[rows, outputs]`, scale `[outputs]`.
    fn conv1d_backward_input_grid(
        dx: *mut f32, dy: *const f32, codes: *const u8, scale: *const f32, grid: *const Grid,
        offsets: *const u32, sequences: u32, len: u32, rows: u32, outputs: u32, inputs: u32, taps: u32, dilation: u32, accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let ((row, first), period) = (tile(), padded(outputs));
        let a = Windows::new(dy, Sequences { offsets, count: sequences, len, rows }, backward(taps, dilation), row, outputs, period);
        let shape = TapShape { taps, outputs, inputs, period, first };
        let b = TapCodesAcrossK { codes, scaling: RowScales { scale }, row_bytes: row_bytes((taps * inputs) as usize), shape };
        gemm(plain(dx, rows, inputs, accumulate), a, b, taps * period, Some(&*grid));
    }

    /// `conv1d_backward_input_grid` where groups have scales: halves, step `[outputs, ⌈taps · inputs / 32⌉]`, offset as step or null.
    fn conv1d_backward_input_groups(
        dx: *mut f32, dy: *const f32, codes: *const u8, step: *const u16, offset: *const u16, grid: *const Grid,
        offsets: *const u32, sequences: u32, len: u32, rows: u32, outputs: u32, inputs: u32, taps: u32, dilation: u32, accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let ((row, first), period) = (tile(), padded(outputs));
        let a = Windows::new(dy, Sequences { offsets, count: sequences, len, rows }, backward(taps, dilation), row, outputs, period);
        let (shape, scaling) = (TapShape { taps, outputs, inputs, period, first }, GroupScales::new(step, offset, taps * inputs));
        let b = TapCodesAcrossK { codes, scaling, row_bytes: row_bytes((taps * inputs) as usize), shape };
        gemm(plain(dx, rows, inputs, accumulate), a, b, taps * period, Some(&*grid));
    }

    /// `conv1d_backward_input_grid` over a float weight.
    fn conv1d_backward_input_float(
        dx: *mut f32, dy: *const f32, weight: *const f32,
        offsets: *const u32, sequences: u32, len: u32, rows: u32, outputs: u32, inputs: u32, taps: u32, dilation: u32, accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let ((row, first), period) = (tile(), padded(outputs));
        let a = Windows::new(dy, Sequences { offsets, count: sequences, len, rows }, backward(taps, dilation), row, outputs, period);
        let b = TapsAcrossK { weight, shape: TapShape { taps, outputs, inputs, period, first } };
        gemm(plain(dx, rows, inputs, accumulate), a, b, taps * period, None);
    }

    /// The gradient of the weight: `dw = …`, or `dw += …` if `accumulate` is 1; dw `[outputs, taps · inputs]`, dy `[rows, outputs]`, x
    /// `[rows, inputs]`.
    fn conv1d_backward_weight(
        dw: *mut f32, dy: *const f32, x: *const f32,
        offsets: *const u32, sequences: u32, len: u32, rows: u32, outputs: u32, inputs: u32, taps: u32, dilation: u32, accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let a = AcrossK::<4>::new(dy, row, outputs, rows);
        let b = WindowsAcrossK::new(x, Sequences { offsets, count: sequences, len, rows }, forward(taps, dilation), column, inputs);
        gemm(plain(dw, outputs, taps * inputs, accumulate), a, b, rows, None);
    }
}
