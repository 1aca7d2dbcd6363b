//! Transposed convolution of one sequence: no row of the result is written twice.
//!
//! y `[stride · rows, outputs]` is the matrix `[rows, stride · outputs]`, whose row t has the `stride` rows of y that start at `stride · t`: its
//! phases. A phase is the sum over few rows of x around t, each times the weight of one tap, so that this is a product of windows of x
//! with the weight's taps in another order. Tiles of `common::gemm`: 128 threads, 25,664 bytes of shared memory; a tile walks the rows of x
//! that its own phases take. Items: columns of that matrix in x, its rows in y.

use super::sizes::tiles::{COVERS, SHARED, THREADS};
use crate::grid::Grid;
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::gemm::{Target, gemm, tile};
    use super::common::scaling::{GroupScales, RowScales};
    use super::common::windows::{PhaseCodesAlongK, PhaseShape, PhasesAlongK, Sequences, Taps, Windows, padded};
    use super::linear::plain;
    use crate::grid::row_bytes;

    /// A: the rows of x that the tile's phases take, nearest to the end first; and k of all.
    #[inline(always)]
    unsafe fn windows(x: *const f32, rows: u32, shape: PhaseShape) -> (Windows, u32) {
        let (nearest, farthest) = shape.reach();
        let taps = Taps { count: (farthest - nearest + 1) as u32, first: -nearest, step: -1 };
        let sequence = Sequences { offsets: core::ptr::null(), count: 1, len: rows, rows };
        (Windows::new(x, sequence, taps, tile().0, shape.inputs, shape.period), taps.count * shape.period)
    }
}

kernels! {
    /// `y = conv_transpose1d(x) + bias`; y `[stride · rows, outputs]`, x `[rows, inputs]`, bias `[outputs]` or null; the weight is
    /// `[kernel · outputs, inputs]`, row `tap · outputs + channel`, its codes `[kernel · outputs, row_bytes]` as in `conv1d_grid`, scale
    /// `[kernel · outputs]`. Row `stride · t + tap − (kernel − stride) / 2` of y gets row t of x times the tap's rows.
    fn conv_transpose1d_grid(
        y: *mut f32, x: *const f32, codes: *const u8, scale: *const f32, grid: *const Grid, bias: *const f32,
        rows: u32, outputs: u32, inputs: u32, kernel: u32, stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        let shape = PhaseShape { kernel, stride, outputs, inputs, period: padded(inputs), first: tile().1 };
        let (a, depth) = windows(x, rows, shape);
        let b = PhaseCodesAlongK { codes, scaling: RowScales { scale }, row_bytes: row_bytes(inputs as usize), shape };
        gemm(Target { bias, biases: outputs, ..plain(y, rows, stride * outputs, 0) }, a, b, depth, Some(&*grid));
    }

    /// `conv_transpose1d_grid` where groups have scales: halves, step `[kernel · outputs, ⌈inputs / 32⌉]`, offset as step or null.
    fn conv_transpose1d_groups(
        y: *mut f32, x: *const f32, codes: *const u8, step: *const u16, offset: *const u16, grid: *const Grid, bias: *const f32,
        rows: u32, outputs: u32, inputs: u32, kernel: u32, stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        let shape = PhaseShape { kernel, stride, outputs, inputs, period: padded(inputs), first: tile().1 };
        let ((a, depth), scaling) = (windows(x, rows, shape), GroupScales::new(step, offset, inputs));
        let b = PhaseCodesAlongK { codes, scaling, row_bytes: row_bytes(inputs as usize), shape };
        gemm(Target { bias, biases: outputs, ..plain(y, rows, stride * outputs, 0) }, a, b, depth, Some(&*grid));
    }

    /// `conv_transpose1d_grid` over a float weight.
    fn conv_transpose1d_float(
        y: *mut f32, x: *const f32, weight: *const f32, bias: *const f32, rows: u32, outputs: u32, inputs: u32, kernel: u32, stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        let shape = PhaseShape { kernel, stride, outputs, inputs, period: padded(inputs), first: tile().1 };
        let (a, depth) = windows(x, rows, shape);
        let target = Target { bias, biases: outputs, ..plain(y, rows, stride * outputs, 0) };
        gemm(target, a, PhasesAlongK { weight, shape }, depth, None);
    }
}
