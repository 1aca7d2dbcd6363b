//! The three products of a linear layer, over grid or float weights.
//!
//! All are tiles of `common::gemm`: 128 threads, 25,664 bytes of shared memory, `f32` sums. Items: columns of the result in x, rows in y. `grid` is
//! the weight's grid; codes are `[outputs, row_bytes]`, rows padded to 32 codes and aligned to 16 bytes. Where groups have scales, step is
//! `[outputs, ⌈inputs / 32⌉]`, halves, and so is offset, or null. Rows of y and dy are `stride` values apart, of which the first `outputs` are used.
//! Activations x are halves where the name begins with `f16_`, and y is where `y_halves` is 1.

use super::sizes::tiles::{COVERS, SHARED, THREADS};
use crate::grid::Grid;
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::gemm::{AcrossK, AlongK, CodesAcrossK, CodesAlongK, Target, gemm, tile};
    use super::common::scaling::{GroupScales, Levels, RowScales, Scaling};
    use super::common::values::{Element, ValuesMut};
    use crate::grid::row_bytes;

    /// C without scales and bias, its rows one after another.
    pub fn plain(c: impl Into<ValuesMut>, rows: u32, columns: u32, accumulate: u32) -> Target {
        let none = core::ptr::null();
        Target { c: c.into(), rows, columns, stride: columns, accumulate: accumulate == 1, column_scale: none, bias: none, biases: 1 }
    }

    /// `y = x · Wᵀ`; `scale` multiplies the sums, or is null.
    #[inline(always)]
    unsafe fn forward<T: Element, S: Scaling>(
        y: ValuesMut, x: *const T, codes: *const u8, scaling: S, scale: *const f32, grid: *const Grid, [rows, outputs, inputs, stride]: [u32; 4],
    ) {
        let (row, column) = tile();
        let a = AlongK::<4, T>::new(x, row, rows, inputs);
        let b = CodesAlongK::<S> { codes, scaling, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        gemm(Target { column_scale: scale, stride, ..plain(y, rows, outputs, 0) }, a, b, inputs, Some(&*grid));
    }

    /// `y = x · Wᵀ` of floats.
    #[inline(always)]
    unsafe fn forward_float<T: Element>(y: ValuesMut, x: *const T, weight: *const f32, [rows, outputs, inputs, stride]: [u32; 4]) {
        let (row, column) = tile();
        let (a, b) = (AlongK::<4, T>::new(x, row, rows, inputs), AlongK::<2>::new(weight, column, outputs, inputs));
        gemm(Target { stride, ..plain(y, rows, outputs, 0) }, a, b, inputs, None);
    }

    /// `dx = dy · W`.
    #[inline(always)]
    unsafe fn backward_input<S: Scaling>(
        dx: *mut f32, dy: *const f32, codes: *const u8, scaling: S, grid: *const Grid, [rows, outputs, inputs, stride]: [u32; 4], accumulate: u32,
    ) {
        let (row, column) = tile();
        let a = AlongK::<4>::strided(dy, row, rows, outputs, stride);
        let b = CodesAcrossK { codes, scaling, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        gemm(plain(dx, rows, inputs, accumulate), a, b, outputs, Some(&*grid));
    }

    /// `dw = dyᵀ · x`.
    #[inline(always)]
    unsafe fn backward_weight<T: Element>(
        dw: *mut f32, dy: *const f32, x: *const T, [rows, outputs, inputs, stride]: [u32; 4], accumulate: u32,
    ) {
        let (row, column) = tile();
        let (a, b) = (AcrossK::<4>::strided(dy, row, outputs, rows, stride), AcrossK::<2, T>::new(x, column, inputs, rows));
        gemm(plain(dw, outputs, inputs, accumulate), a, b, rows, None);
    }
}

kernels! {
    /// `y = x · Wᵀ`; y `[rows, stride]`, x `[rows, inputs]`, scale `[outputs]`.
    fn linear_grid(
        y: *mut u8, y_halves: u32, x: *const u8, codes: *const u8, scale: *const f32, grid: *const Grid, rows: u32, outputs: u32, inputs: u32,
        stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        forward(ValuesMut::of(y, y_halves, 0), x.cast::<f32>(), codes, Levels, scale, grid, [rows, outputs, inputs, stride]);
    }

    /// `linear_grid` of halves.
    fn f16_linear_grid(
        y: *mut u8, y_halves: u32, x: *const u8, codes: *const u8, scale: *const f32, grid: *const Grid, rows: u32, outputs: u32, inputs: u32,
        stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        forward(ValuesMut::of(y, y_halves, 0), x.cast::<u16>(), codes, Levels, scale, grid, [rows, outputs, inputs, stride]);
    }

    /// `linear_grid` where groups have scales.
    fn linear_groups(
        y: *mut u8, y_halves: u32, x: *const u8, codes: *const u8, step: *const u16, offset: *const u16, grid: *const Grid, rows: u32,
        outputs: u32, inputs: u32, stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (y, scaling) = (ValuesMut::of(y, y_halves, 0), GroupScales::new(step, offset, inputs));
        forward(y, x.cast::<f32>(), codes, scaling, core::ptr::null(), grid, [rows, outputs, inputs, stride]);
    }

    /// `linear_groups` of halves.
    fn f16_linear_groups(
        y: *mut u8, y_halves: u32, x: *const u8, codes: *const u8, step: *const u16, offset: *const u16, grid: *const Grid, rows: u32,
        outputs: u32, inputs: u32, stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (y, scaling) = (ValuesMut::of(y, y_halves, 0), GroupScales::new(step, offset, inputs));
        forward(y, x.cast::<u16>(), codes, scaling, core::ptr::null(), grid, [rows, outputs, inputs, stride]);
    }

    /// `y = x · Wᵀ`; y `[rows, stride]`, x `[rows, inputs]`, weight `[outputs, inputs]`.
    fn linear_float(y: *mut u8, y_halves: u32, x: *const u8, weight: *const f32, rows: u32, outputs: u32, inputs: u32, stride: u32)
        for [THREADS, SHARED, COVERS] {
        forward_float(ValuesMut::of(y, y_halves, 0), x.cast::<f32>(), weight, [rows, outputs, inputs, stride]);
    }

    /// `linear_float` of halves.
    fn f16_linear_float(y: *mut u8, y_halves: u32, x: *const u8, weight: *const f32, rows: u32, outputs: u32, inputs: u32, stride: u32)
        for [THREADS, SHARED, COVERS] {
        forward_float(ValuesMut::of(y, y_halves, 0), x.cast::<u16>(), weight, [rows, outputs, inputs, stride]);
    }

    /// `dx = dy · W`, or `dx += …` if `accumulate` is 1; dx `[rows, inputs]`, dy `[rows, stride]`, scale `[outputs]`.
    fn linear_backward_input_grid(
        dx: *mut f32, dy: *const f32, codes: *const u8, scale: *const f32, grid: *const Grid, rows: u32, outputs: u32, inputs: u32, stride: u32,
        accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        backward_input(dx, dy, codes, RowScales { scale }, grid, [rows, outputs, inputs, stride], accumulate);
    }

    /// `linear_backward_input_grid` where groups have scales.
    fn linear_backward_input_groups(
        dx: *mut f32, dy: *const f32, codes: *const u8, step: *const u16, offset: *const u16, grid: *const Grid, rows: u32, outputs: u32,
        inputs: u32, stride: u32, accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let scaling = GroupScales::new(step, offset, inputs);
        backward_input(dx, dy, codes, scaling, grid, [rows, outputs, inputs, stride], accumulate);
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
        dw: *mut f32, dy: *const f32, x: *const u8, rows: u32, outputs: u32, inputs: u32, stride: u32,
        accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        backward_weight(dw, dy, x.cast::<f32>(), [rows, outputs, inputs, stride], accumulate);
    }

    /// `linear_backward_weight` of halves.
    fn f16_linear_backward_weight(
        dw: *mut f32, dy: *const f32, x: *const u8, rows: u32, outputs: u32, inputs: u32, stride: u32,
        accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        backward_weight(dw, dy, x.cast::<u16>(), [rows, outputs, inputs, stride], accumulate);
    }
}
