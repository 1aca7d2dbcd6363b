//! Absolute error of predictions, and what it shares with the squared error.

use super::sizes::LANES;
use crate::launch::{kernels, on_gpu};

/// Threads of a block.
pub const THREADS: u32 = 256;
/// Rows of a block: half a warp each.
pub const COVERS: [u32; 2] = [THREADS / LANES, 1];

on_gpu! {
    use super::common::sums::lanes_sum;
    use crate::gpu::thread::{block_idx_x, thread_idx_x};

    /// `losses[r] = Σ loss(x − target)` and `dx = gradient(x − target)` of this half-warp's row of `[rows, dim]`.
    #[inline(always)]
    pub unsafe fn row_error(
        losses: *mut f32,
        dx: *mut f32,
        [x, target]: [*const f32; 2],
        [rows, dim]: [u32; 2],
        loss: impl Fn(f32) -> f32,
        gradient: impl Fn(f32) -> f32,
    ) {
        let row = block_idx_x() * COVERS[0] + thread_idx_x() / LANES;
        let first = row as usize * dim as usize;
        let (x, target, dx) = (x.wrapping_add(first), target.wrapping_add(first), dx.wrapping_add(first));
        // A row beyond the end is empty: the lanes of both halves of a warp stay together.
        let sum = lanes_sum(if row < rows { dim } else { 0 }, |i| {
            let difference = *x.add(i) - *target.add(i);
            *dx.add(i) = gradient(difference);
            loss(difference)
        });
        if row < rows && thread_idx_x().is_multiple_of(LANES) {
            *losses.add(row as usize) = sum;
        }
    }
}

kernels! {
    /// `losses[r] = Σ |x[r] − target[r]|` and `dx = sign(x − target) · gradient_scale`; dx, x, target `[rows, dim]`, losses `[rows]`. Half a
    /// warp takes a row. Items: rows.
    fn absolute_error(losses: *mut f32, dx: *mut f32, x: *const f32, target: *const f32, rows: u32, dim: u32, gradient_scale: f32)
        for [THREADS, 0, COVERS] {
        let sign = |d: f32| if d > 0.0 { gradient_scale } else if d < 0.0 { -gradient_scale } else { 0.0 };
        row_error(losses, dx, [x, target], [rows, dim], f32::abs, sign);
    }
}
