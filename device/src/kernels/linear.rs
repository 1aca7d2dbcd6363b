//! The three products of a linear layer, over grid or float weights.
//!
//! All are tiles of `common::gemm`: 128 threads, 25,664 bytes of shared memory, `f32` sums. Items: columns of the result in x, rows in y. `grid` is
//! the weight's grid; codes are `[outputs, row_bytes]`, rows padded to 32 codes and aligned to 16 bytes. Rows
//! of y and dy are `stride` values apart, of which the first `outputs` are used.

use super::sizes::tiles::{COVERS, SHARED, THREADS};
use crate::grid::Grid;
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::gemm::{AcrossK, AlongK, CodesAcrossK, CodesAlongK, Target, gemm, tile};
    use super::common::scaling::{GroupScales, Levels, RowScales};
    use crate::grid::row_bytes;

    /// C without scales and bias, its rows one after another.
    pub fn plain(c: *mut f32, rows: u32, columns: u32, accumulate: u32) -> Target {
        let none = core::ptr::null();
        Target { c, rows, columns, stride: columns, accumulate: accumulate == 1, column_scale: none, bias: none, biases: 1 }
    }
}

kernels! {
    /// `y = x · Wᵀ`; y `[rows, stride]`, x `[rows, inputs]`, scale `[outputs]`.
    fn linear_grid(
        y: *mut f32, x: *const f32, codes: *const u8, scale: *const f32, grid: *const Grid, rows: u32, outputs: u32, inputs: u32, stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let a = AlongK::<4>::new(x, row, rows, inputs);
        let b = CodesAlongK { codes, scaling: Levels, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        gemm(Target { column_scale: scale, stride, ..plain(y, rows, outputs, 0) }, a, b, inputs, Some(&*grid));
    }

    /// `linear_grid` where groups have scales: halves, step `[outputs, ⌈inputs / 32⌉]`, offset as step or null.
    fn linear_groups(
        y: *mut f32, x: *const f32, codes: *const u8, step: *const u16, offset: *const u16, grid: *const Grid, rows: u32, outputs: u32,
        inputs: u32, stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let (a, scaling) = (AlongK::<4>::new(x, row, rows, inputs), GroupScales::new(step, offset, inputs));
        let b = CodesAlongK { codes, scaling, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        gemm(Target { stride, ..plain(y, rows, outputs, 0) }, a, b, inputs, Some(&*grid));
    }

    /// `y = x · Wᵀ`; y `[rows, stride]`, x `[rows, inputs]`, weight `[outputs, inputs]`.
    fn linear_float(y: *mut f32, x: *const f32, weight: *const f32, rows: u32, outputs: u32, inputs: u32, stride: u32)
        for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let (a, b) = (AlongK::<4>::new(x, row, rows, inputs), AlongK::<2>::new(weight, column, outputs, inputs));
        gemm(Target { stride, ..plain(y, rows, outputs, 0) }, a, b, inputs, None);
    }

    /// `dx = dy · W`, or `dx += …` if `accumulate` is 1; dx `[rows, inputs]`, dy `[rows, stride]`, scale `[outputs]`.
    fn linear_backward_input_grid(
        dx: *mut f32, dy: *const f32, codes: *const u8, scale: *const f32, grid: *const Grid, rows: u32, outputs: u32, inputs: u32, stride: u32,
        accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let a = AlongK::<4>::strided(dy, row, rows, outputs, stride);
        let b = CodesAcrossK { codes, scaling: RowScales { scale }, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        gemm(plain(dx, rows, inputs, accumulate), a, b, outputs, Some(&*grid));
    }

    /// `linear_backward_input_grid` where groups have scales: halves, step `[outputs, ⌈inputs / 32⌉]`, offset as step or null.
    fn linear_backward_input_groups(
        dx: *mut f32, dy: *const f32, codes: *const u8, step: *const u16, offset: *const u16, grid: *const Grid, rows: u32, outputs: u32,
        inputs: u32, stride: u32, accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let (a, scaling) = (AlongK::<4>::strided(dy, row, rows, outputs, stride), GroupScales::new(step, offset, inputs));
        let b = CodesAcrossK { codes, scaling, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        gemm(plain(dx, rows, inputs, accumulate), a, b, outputs, Some(&*grid));
    }

    /// `dx = dy · W`, or `dx += …` if `accumulate` is 1; dx `[rows, inputs]`, dy `[rows, stride]`, weight `[outputs, inputs]`.
    fn linear_backward_input_float(
        dx: *mut f32, dy: *const f32, weight: *const f32, rows: u32, outputs: u32, inputs: u32, stride: u32,
        accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let (a, b) = (AlongK::<4>::strided(dy, row, rows, outputs, stride), AcrossK::<2>::new(weight, column, inputs, outputs));
        gemm(plain(dx, rows, inputs, accumulate), a, b, outputs, None);
    }

    /// `dw = dyᵀ · x`, or `dw += …` if `accumulate` is 1; dw `[outputs, inputs]`, dy `[rows, stride]`, x `[rows, inputs]`.
    fn linear_backward_weight(
        dw: *mut f32, dy: *const f32, x: *const f32, rows: u32, outputs: u32, inputs: u32, stride: u32,
        accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let (a, b) = (AcrossK::<4>::strided(dy, row, outputs, rows, stride), AcrossK::<2>::new(x, column, inputs, rows));
        gemm(plain(dw, outputs, inputs, accumulate), a, b, rows, None);
    }
}
