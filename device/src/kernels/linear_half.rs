//! The three products of a linear layer on tensor cores: see `common::half_gemm` for tiles and what is lost.
//!
//! 128 threads, 36,928 bytes of shared memory. Items: columns of the result in x, rows in y. `grid` is the weight's grid,
//! one that fits halves where rows have the scales; codes are `[outputs, row_bytes]`, rows padded to 32 codes and aligned to 16 bytes. Rows of y and dy are `stride` values
//! apart, of which the first `outputs` are used. `…_largest` points to the bits of a tensor's largest absolute value, as the kernel `largest` finds it.

use super::sizes::half_tiles::SHARED;
use super::sizes::tiles::{COVERS, THREADS};
use crate::grid::Grid;
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::gemm::{AcrossK, AlongK, CodesAcrossK, CodesAlongK, tile};
    use super::common::half_gemm::{Output, Power, ScaledAlongK, half_gemm};
    use super::common::scaling::{GroupScales, Levels};
    use crate::grid::row_bytes;

    /// The value of these bits.
    #[inline(always)]
    unsafe fn value(bits: *const u32) -> f32 {
        f32::from_bits(*bits)
    }

    /// The power of weights on a grid, from the largest of their steps and offsets; a grid's own largest is its lowest or its highest level.
    #[inline(always)]
    unsafe fn power_of_groups(grid: &Grid, step_largest: *const u32, offset_largest: *const u32) -> Power {
        let [lowest, highest] = grid.range();
        let offset = if offset_largest.is_null() { 0.0 } else { value(offset_largest) };
        Power::of(value(step_largest) * grid.steps() * lowest.abs().max(highest.abs()) + offset)
    }
}

kernels! {
    optional

    /// `y = x · Wᵀ`; y `[rows, stride]`, x `[rows, inputs]`, scale `[outputs]`.
    fn linear_grid_half(
        y: *mut f32, x: *const f32, x_largest: *const u32, codes: *const u8, scale: *const f32, grid: *const Grid, rows: u32, outputs: u32,
        inputs: u32, stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let a = AlongK::<4>::new(x, row, rows, inputs);
        let b = CodesAlongK { codes, scaling: Levels, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        let output = Output { c: y, rows, columns: outputs, stride, accumulate: false, column_scale: scale };
        half_gemm(output, a, b, [Power::of(value(x_largest)); 2], inputs, Some(&*grid));
    }

    /// `linear_grid_half` where groups have scales: halves, step `[outputs, ⌈inputs / 32⌉]`, offset as step or null, and its largest with it.
    fn linear_groups_half(
        y: *mut f32, x: *const f32, x_largest: *const u32, codes: *const u8, step: *const u16, step_largest: *const u32, offset: *const u16,
        offset_largest: *const u32, grid: *const Grid, rows: u32, outputs: u32, inputs: u32, stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let (a, scaling) = (AlongK::<4>::new(x, row, rows, inputs), GroupScales::new(step, offset, inputs));
        let b = CodesAlongK { codes, scaling, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        let output = Output { c: y, rows, columns: outputs, stride, accumulate: false, column_scale: core::ptr::null() };
        let powers = [Power::of(value(x_largest)), power_of_groups(&*grid, step_largest, offset_largest)];
        half_gemm(output, a, b, powers, inputs, Some(&*grid));
    }

    /// `dx = dy · W`, or `dx += …` if `accumulate` is 1; dx `[rows, inputs]`, dy `[rows, stride]`, scale `[outputs]`.
    fn linear_backward_input_grid_half(
        dx: *mut f32, dy: *const f32, dy_largest: *const u32, codes: *const u8, scale: *const f32, scale_largest: *const u32, grid: *const Grid,
        rows: u32, outputs: u32, inputs: u32, stride: u32, accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let a = ScaledAlongK { matrix: AlongK::<4>::strided(dy, row, rows, outputs, stride), scale, depth: outputs };
        let b = CodesAcrossK { codes, scaling: Levels, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        let output = Output { c: dx, rows, columns: inputs, stride: inputs, accumulate: accumulate == 1, column_scale: core::ptr::null() };
        // The operand is dy · scale, and at most the product of their largest.
        half_gemm(output, a, b, [Power::of(value(dy_largest) * value(scale_largest)); 2], outputs, Some(&*grid));
    }

    /// `linear_backward_input_grid_half` where groups have scales: halves, step `[outputs, ⌈inputs / 32⌉]`, offset as step or null, and its largest
    /// with it.
    fn linear_backward_input_groups_half(
        dx: *mut f32, dy: *const f32, dy_largest: *const u32, codes: *const u8, step: *const u16, step_largest: *const u32, offset: *const u16,
        offset_largest: *const u32, grid: *const Grid, rows: u32, outputs: u32, inputs: u32, stride: u32, accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let (a, scaling) = (AlongK::<4>::strided(dy, row, rows, outputs, stride), GroupScales::new(step, offset, inputs));
        let b = CodesAcrossK { codes, scaling, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        let output = Output { c: dx, rows, columns: inputs, stride: inputs, accumulate: accumulate == 1, column_scale: core::ptr::null() };
        let powers = [Power::of(value(dy_largest)), power_of_groups(&*grid, step_largest, offset_largest)];
        half_gemm(output, a, b, powers, outputs, Some(&*grid));
    }

    /// `dw = dyᵀ · x`, or `dw += …` if `accumulate` is 1; dw `[outputs, inputs]`, dy `[rows, stride]`, x `[rows, inputs]`.
    fn linear_backward_weight_half(
        dw: *mut f32, dy: *const f32, dy_largest: *const u32, x: *const f32, x_largest: *const u32, rows: u32, outputs: u32, inputs: u32,
        stride: u32, accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let (a, b) = (AcrossK::<4>::strided(dy, row, outputs, rows, stride), AcrossK::<2>::new(x, column, inputs, rows));
        let output = Output { c: dw, rows: outputs, columns: inputs, stride: inputs, accumulate: accumulate == 1, column_scale: core::ptr::null() };
        half_gemm(output, a, b, [Power::of(value(dy_largest)), Power::of(value(x_largest))], rows, None);
    }
}
