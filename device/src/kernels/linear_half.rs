//! The three products of a linear layer on tensor cores: see [`super::half_gemm`] for tiles and what is lost.
//!
//! 128 threads, 36,928 bytes of shared memory. Items: columns of the result in x, rows in y. `grid` is the number of the weight's grid in `GridId`,
//! any but prime15; codes are `[outputs, row_bytes]`, rows padded to 32 codes of level 0 and aligned to 16 bytes. Rows of y and dy are `stride` values
//! apart, of which the first `outputs` are used. `…_largest` points to the bits of a tensor's largest absolute value, as [`largest`] finds it.

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

/// The value of these bits.
#[inline(always)]
unsafe fn value(bits: *const u32) -> f32 {
    f32::from_bits(*bits)
}

kernels! {
    /// `bits[0] = max(bits[0], bits of |x|)`; x `[n / stride, stride]`, of which the first `columns` of each row count. Bits of floats are ordered as
    /// they are. A thread takes vectors of four. Items: values.
    fn largest(bits: *mut u32, x: *const f32, columns: u32, stride: u32, n: u32) for [LARGEST_THREADS, 0, [CHUNK, 1]] {
        let vectors = aligned(x) && stride.is_multiple_of(VECTOR);
        let mut most = 0u32;
        for pass in 0..CHUNK / (VECTOR * LARGEST_THREADS) {
            let first = block_idx_x() * CHUNK + (pass * LARGEST_THREADS + thread_idx_x()) * VECTOR;
            let at = x.wrapping_add(first as usize);
            // Of whole tensors no value is left out, and none needs to know its column.
            let counts = |i: u32| first + i < n && (columns == stride || (first + i) % stride < columns);
            let bits = |x: f32| x.to_bits() & (u32::MAX >> 1);
            if vectors && first + VECTOR <= n && counts(VECTOR - 1) {
                let [a, b, c, d] = load4_constant(at).map(bits);
                most = most.max(a).max(b).max(c).max(d);
            } else {
                for i in 0..VECTOR {
                    if counts(i) {
                        most = most.max(bits(*at.add(i as usize)));
                    }
                }
            }
        }
        for step in [16, 8, 4, 2, 1] {
            most = most.max(warp_shuffle_xor(most, step));
        }
        if thread_idx_x().is_multiple_of(32) {
            atomic_fetch_max_relaxed_u32_device(bits, most);
        }
    }

    /// `y = x · Wᵀ`; y `[rows, stride]`, x `[rows, inputs]`, scale `[outputs]`.
    fn linear_grid_half(
        y: *mut f32, x: *const f32, x_largest: *const u32, codes: *const u8, scale: *const f32, grid: u32, rows: u32, outputs: u32,
        inputs: u32, stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let a = AlongK::<4>::new(x, row, rows, inputs);
        let b = CodesAlongK { codes, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        let output = Output { c: y, rows, columns: outputs, stride, accumulate: false, column_scale: scale };
        half_gemm(output, a, b, [Power::of(value(x_largest)); 2], inputs, grid);
    }

    /// `dx = dy · W`, or `dx += …` if `accumulate` is 1; dx `[rows, inputs]`, dy `[rows, stride]`, scale `[outputs]`.
    fn linear_backward_input_grid_half(
        dx: *mut f32, dy: *const f32, dy_largest: *const u32, codes: *const u8, scale: *const f32, scale_largest: *const u32, grid: u32,
        rows: u32, outputs: u32, inputs: u32, stride: u32, accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let a = ScaledAlongK { matrix: AlongK::<4>::strided(dy, row, rows, outputs, stride), scale, depth: outputs };
        let b = CodesAcrossK { codes, scale, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        let output = Output { c: dx, rows, columns: inputs, stride: inputs, accumulate: accumulate == 1, column_scale: core::ptr::null() };
        // The operand is dy · scale, and at most the product of their largest.
        half_gemm(output, a, b, [Power::of(value(dy_largest) * value(scale_largest)); 2], outputs, grid);
    }

    /// `dw = dyᵀ · x`, or `dw += …` if `accumulate` is 1; dw `[outputs, inputs]`, dy `[rows, stride]`, x `[rows, inputs]`.
    fn linear_backward_weight_half(
        dw: *mut f32, dy: *const f32, dy_largest: *const u32, x: *const f32, x_largest: *const u32, rows: u32, outputs: u32, inputs: u32,
        stride: u32, accumulate: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (row, column) = tile();
        let (a, b) = (AcrossK::<4>::strided(dy, row, outputs, rows, stride), AcrossK::<2>::new(x, column, inputs, rows));
        let output = Output { c: dw, rows: outputs, columns: inputs, stride: inputs, accumulate: accumulate == 1, column_scale: core::ptr::null() };
        half_gemm(output, a, b, [Power::of(value(dy_largest)), Power::of(value(x_largest))], rows, 0);
    }
}
