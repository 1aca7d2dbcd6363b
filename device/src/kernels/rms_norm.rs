//! Root mean square normalisation over rows (Zhang & Sennrich 2019). Partial sums of the gradient of gamma end as those of a bias do.

use super::bias_backward::GROUP;
use super::sizes::WARP;
use crate::launch::{kernels, on_gpu};

/// Threads of a block of rows: a warp each.
const THREADS: u32 = 128;
const ROWS: u32 = THREADS / WARP;

on_gpu! {
    use super::common::rows::{each, row_sum};
    use crate::gpu::GpuFloat;
    use crate::gpu::memory::{aligned, load, store};
    use crate::gpu::thread::{block_idx_x, block_idx_y, thread_idx_x};

    #[inline(always)]
    unsafe fn forward<const V: usize>(y: *mut f32, x: *const f32, gamma: *const f32, eps: f32, dim: usize) -> f32 {
        let square = row_sum::<V>(dim, |c| load::<V>(x.add(c)).map(|x| x * x)) / dim as f32;
        let rstd = 1.0 / (square + eps).sqrt();
        each::<V>(dim, |c| {
            let (x, g) = (load::<V>(x.add(c)), load::<V>(gamma.add(c)));
            store::<V>(y.add(c), core::array::from_fn(|i| x[i] * rstd * g[i]));
        });
        rstd
    }

    #[inline(always)]
    unsafe fn backward<const V: usize>(dx: *mut f32, dy: *const f32, x: *const f32, gamma: *const f32, rstd: f32, dim: usize) {
        let by_normed = row_sum::<V>(dim, |c| {
            let (dy, x, g) = (load::<V>(dy.add(c)), load::<V>(x.add(c)), load::<V>(gamma.add(c)));
            core::array::from_fn(|i| dy[i] * g[i] * (x[i] * rstd))
        }) / dim as f32;
        each::<V>(dim, |c| {
            let (old, dy, x, g) = (load::<V>(dx.add(c)), load::<V>(dy.add(c)), load::<V>(x.add(c)), load::<V>(gamma.add(c)));
            store::<V>(dx.add(c), core::array::from_fn(|i| old[i] + rstd * (dy[i] * g[i] - x[i] * rstd * by_normed)));
        });
    }
}

kernels! {
    /// `y = x · rstd · gamma`; y, x `[rows, dim]`, rstd `[rows]`, gamma `[dim]`. A warp takes a row. Items: rows.
    fn rms_norm(y: *mut f32, rstd: *mut f32, x: *const f32, gamma: *const f32, eps: f32, rows: u32, dim: u32) for [THREADS, 0, [ROWS, 1]] {
        let row = (block_idx_x() * ROWS + thread_idx_x() / WARP) as usize;
        if row >= rows as usize {
            return;
        }
        let dim = dim as usize;
        let (y, x) = (y.add(row * dim), x.add(row * dim));
        let vectors = dim.is_multiple_of(4) && aligned(y) && aligned(x) && aligned(gamma);
        let result = if vectors { forward::<4>(y, x, gamma, eps, dim) } else { forward::<1>(y, x, gamma, eps, dim) };
        if thread_idx_x().is_multiple_of(WARP) {
            *rstd.add(row) = result;
        }
    }

    /// `dx += ∂/∂x`; dx, dy, x `[rows, dim]`, rstd `[rows]`, gamma `[dim]`. A warp takes a row. Items: rows.
    fn rms_norm_backward_input(dx: *mut f32, dy: *const f32, x: *const f32, rstd: *const f32, gamma: *const f32, rows: u32, dim: u32)
        for [THREADS, 0, [ROWS, 1]] {
        let row = (block_idx_x() * ROWS + thread_idx_x() / WARP) as usize;
        if row >= rows as usize {
            return;
        }
        let dim = dim as usize;
        let (dx, dy, x, rstd) = (dx.add(row * dim), dy.add(row * dim), x.add(row * dim), *rstd.add(row));
        if dim.is_multiple_of(4) && aligned(dx) && aligned(dy) && aligned(x) && aligned(gamma) {
            backward::<4>(dx, dy, x, gamma, rstd, dim);
        } else {
            backward::<1>(dx, dy, x, gamma, rstd, dim);
        }
    }

    /// Partial sums of the gradient of gamma over 64 rows each: `partial[g] = Σ dy · x · rstd`, `[⌈rows / 64⌉, dim]`. A thread takes a column
    /// of 64 rows. Items: columns, rows.
    fn rms_norm_backward_groups(partial: *mut f32, dy: *const f32, x: *const f32, rstd: *const f32, rows: u32, dim: u32)
        for [THREADS, 0, [THREADS, GROUP]] {
        let (column, group, dim) = ((block_idx_x() * THREADS + thread_idx_x()) as usize, block_idx_y(), dim as usize);
        if column >= dim {
            return;
        }
        let mut sum = 0.0;
        for row in (group * GROUP) as usize..rows.min((group + 1) * GROUP) as usize {
            sum += *dy.add(row * dim + column) * (*x.add(row * dim + column) * *rstd.add(row));
        }
        *partial.add(group as usize * dim + column) = sum;
    }
}
