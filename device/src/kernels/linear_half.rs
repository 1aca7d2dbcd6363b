//! The three products of a linear layer on tensor cores: see [`super::half_gemm`] for tiles and what is lost.
//!
//! 128 threads, 36,928 bytes of shared memory. Items: columns of the result in x, rows in y. `grid` is the number of the weight's grid in `GridId`,
//! any but prime15; codes are `[outputs, row_bytes]`, rows padded to 32 codes of level 0 and aligned to 16 bytes. `largest` are the bits of the
//! largest absolute value of a float operand, as [`largest`] finds it.

use super::gemm::{AcrossK, AlongK, COVERS, CodesAcrossK, CodesAlongK, THREADS, tile};
use super::half_gemm::{Output, Power, SHARED, ScaledAlongK, half_gemm};
use crate::gpu::atomic::atomic_fetch_max_relaxed_u32_device;
use crate::gpu::kernels;
use crate::gpu::memory::{aligned, load4_constant};
use crate::gpu::thread::{block_idx_x, thread_idx_x};
use crate::gpu::warp::warp_shuffle_xor;
use crate::grid::row_bytes;

/// Values of a block of [`largest`], and of a thread at a time.
const CHUNK: u32 = 4096;
const VECTOR: u32 = 4;
const LARGEST_THREADS: u32 = 256;

kernels! {
    /// `bits[0] = max(bits[0], bits of |x · scale|)`; x `[n]`, rows of `columns`; scale `[columns]` or null. Bits of floats are ordered as they
    /// are. A thread takes vectors of four. Items: values.
    fn largest(bits: *mut u32, x: *const f32, scale: *const f32, columns: u32, n: u32) for [LARGEST_THREADS, 0, [CHUNK, 1]] {
        let mut most = 0u32;
        for pass in 0..CHUNK / (VECTOR * LARGEST_THREADS) {
            let first = block_idx_x() * CHUNK + (pass * LARGEST_THREADS + thread_idx_x()) * VECTOR;
            let at = x.wrapping_add(first as usize);
            let values = if aligned(x) && first + VECTOR <= n {
                load4_constant(at)
            } else {
                core::array::from_fn(|i| if first + (i as u32) < n { *at.add(i) } else { 0.0 })
            };
            for i in 0..4 {
                let index = first + i as u32;
                let factor = if scale.is_null() || index >= n { 1.0 } else { *scale.add((index % columns) as usize) };
                most = most.max((values[i] * factor).to_bits() & (u32::MAX >> 1));
            }
        }
        for step in [16, 8, 4, 2, 1] {
            most = most.max(warp_shuffle_xor(most, step));
        }
        if thread_idx_x().is_multiple_of(32) {
            atomic_fetch_max_relaxed_u32_device(bits, most);
        }
    }

    /// `y = x · Wᵀ`; y `[rows, outputs]`, x `[rows, inputs]`, largest `[1]` of x, scale `[outputs]`.
    fn linear_grid_half(
        y: *mut f32, x: *const f32, largest: *const u32, codes: *const u8, scale: *const f32, grid: u32, rows: u32, outputs: u32, inputs: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let a = AlongK::<4>::new(x, row, rows, inputs);
        let b = CodesAlongK { codes, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        let output = Output { c: y, rows, columns: outputs, accumulate: false, column_scale: scale };
        half_gemm(output, a, b, [Power::of(*largest); 2], inputs, grid);
    }

    /// `dx = dy · W`, or `dx += …` if `accumulate` is 1; dx `[rows, inputs]`, dy `[rows, outputs]`, largest `[1]` of dy · scale, scale `[outputs]`.
    fn linear_backward_input_grid_half(
        dx: *mut f32, dy: *const f32, largest: *const u32, codes: *const u8, scale: *const f32, grid: u32, rows: u32, outputs: u32, inputs: u32,
        accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let a = ScaledAlongK { matrix: AlongK::<4>::new(dy, row, rows, outputs), scale, depth: outputs };
        let b = CodesAcrossK { codes, scale, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        let output = Output { c: dx, rows, columns: inputs, accumulate: accumulate == 1, column_scale: core::ptr::null() };
        half_gemm(output, a, b, [Power::of(*largest); 2], outputs, grid);
    }

    /// `dw = dyᵀ · x`, or `dw += …` if `accumulate` is 1; dw `[outputs, inputs]`, dy `[rows, outputs]`, x `[rows, inputs]`, largest `[2]` of dy
    /// and of x.
    fn linear_backward_weight_half(
        dw: *mut f32, dy: *const f32, x: *const f32, largest: *const u32, rows: u32, outputs: u32, inputs: u32, accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let (a, b) = (AcrossK::<4>::new(dy, row, outputs, rows), AcrossK::<2>::new(x, column, inputs, rows));
        let output = Output { c: dw, rows: outputs, columns: inputs, accumulate: accumulate == 1, column_scale: core::ptr::null() };
        half_gemm(output, a, b, [Power::of(*largest), Power::of(*largest.add(1))], rows, 0);
    }
}
