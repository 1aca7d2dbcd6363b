//! Layer normalisation over rows (Ba et al. 2016), ε = 1e-5.

use super::sizes::WARP;
use crate::launch::{kernels, on_gpu};

/// What is added to the variance.
pub const EPS: f32 = 1e-5;
/// Threads of a block of rows: a warp each.
const THREADS: u32 = 128;
const ROWS: u32 = THREADS / WARP;
/// Rows whose parameter gradients are added up to one partial sum.
pub const GROUP: u32 = 64;

on_gpu! {
    use super::common::rows::{each, row_sum};
    use super::common::sums::warp_sum;
    use super::common::values::{Values, ValuesMut};
    use crate::gpu::GpuFloat;
    use crate::gpu::memory::{aligned, load, store};
    use crate::gpu::thread::{block_idx_x, block_idx_y, thread_idx_x};

    #[inline(always)]
    unsafe fn forward<const V: usize>(y: ValuesMut, x: Values, gamma: *const f32, beta: *const f32, dim: usize) -> (f32, f32) {
        let n = dim as f32;
        let mean = row_sum::<V>(dim, |c| x.load(c)) / n;
        let variance = row_sum::<V>(dim, |c| x.load::<V>(c).map(|x| (x - mean) * (x - mean))) / n;
        let rstd = 1.0 / (variance + EPS).sqrt();
        each::<V>(dim, |c| {
            let (x, g, b) = (x.load::<V>(c), load::<V>(gamma.add(c)), load::<V>(beta.add(c)));
            y.store::<V>(c, core::array::from_fn(|i| (x[i] - mean) * rstd * g[i] + b[i]));
        });
        (mean, rstd)
    }

    #[inline(always)]
    unsafe fn backward<const V: usize>(dx: *mut f32, dy: *const f32, x: Values, gamma: *const f32, mean: f32, rstd: f32, dim: usize) {
        // The gradient of the normalised value, and that value.
        let both = |c: usize| -> [[f32; 2]; V] {
            let (dy, x, g) = (load::<V>(dy.add(c)), x.load::<V>(c), load::<V>(gamma.add(c)));
            core::array::from_fn(|i| [dy[i] * g[i], (x[i] - mean) * rstd])
        };
        let (mut plain, mut by_normed) = (0.0, 0.0);
        each::<V>(dim, |c| {
            for [d, normed] in both(c) {
                plain += d;
                by_normed += d * normed;
            }
        });
        let (plain, by_normed) = (warp_sum(plain) / dim as f32, warp_sum(by_normed) / dim as f32);
        each::<V>(dim, |c| {
            let (old, both) = (load::<V>(dx.add(c)), both(c));
            store::<V>(dx.add(c), core::array::from_fn(|i| old[i] + rstd * (both[i][0] - plain - both[i][1] * by_normed)));
        });
    }
}

kernels! {
    /// `y = (x − mean) · rstd · gamma + beta`; y, x `[rows, dim]`, mean, rstd `[rows]`, gamma, beta `[dim]`; `halves` tells of y, x. A warp takes a
    /// row. Items: rows.
    fn layer_norm(
        y: *mut u8, mean: *mut f32, rstd: *mut f32, x: *const u8, halves: u32, gamma: *const f32, beta: *const f32, rows: u32, dim: u32,
    ) for [THREADS, 0, [ROWS, 1]] {
        let row = (block_idx_x() * ROWS + thread_idx_x() / WARP) as usize;
        if row >= rows as usize {
            return;
        }
        let dim = dim as usize;
        let (y, x) = (ValuesMut::of(y, halves, 0).skip(row * dim), Values::of(x, halves, 1).skip(row * dim));
        let vectors = dim.is_multiple_of(4) && y.aligned() && x.aligned() && aligned(gamma) && aligned(beta);
        let result = if vectors { forward::<4>(y, x, gamma, beta, dim) } else { forward::<1>(y, x, gamma, beta, dim) };
        if thread_idx_x().is_multiple_of(WARP) {
            (*mean.add(row), *rstd.add(row)) = result;
        }
    }

    /// `dx += ∂/∂x`; dx, dy, x `[rows, dim]`, mean, rstd `[rows]`, gamma `[dim]`; `halves` tells of x. A warp takes a row.
    /// Items: rows.
    fn layer_norm_backward_input(
        dx: *mut f32, dy: *const f32, x: *const u8, halves: u32, mean: *const f32, rstd: *const f32, gamma: *const f32, rows: u32, dim: u32,
    ) for [THREADS, 0, [ROWS, 1]] {
        let row = (block_idx_x() * ROWS + thread_idx_x() / WARP) as usize;
        if row >= rows as usize {
            return;
        }
        let dim = dim as usize;
        let (dx, dy, x) = (dx.add(row * dim), dy.add(row * dim), Values::of(x, halves, 0).skip(row * dim));
        let (mean, rstd) = (*mean.add(row), *rstd.add(row));
        if dim.is_multiple_of(4) && aligned(dx) && aligned(dy) && x.aligned() && aligned(gamma) {
            backward::<4>(dx, dy, x, gamma, mean, rstd, dim);
        } else {
            backward::<1>(dx, dy, x, gamma, mean, rstd, dim);
        }
    }

    /// Partial sums of the gradients of gamma and beta over 64 rows each: `partial[g] = [Σ dy·normed, Σ dy]`, `[⌈rows / 64⌉, 2, dim]`. A
    /// thread takes a column of 64 rows; `halves` tells of x. Items: columns, rows.
    fn layer_norm_backward_parameters(
        partial: *mut f32, dy: *const f32, x: *const u8, halves: u32, mean: *const f32, rstd: *const f32, rows: u32, dim: u32,
    ) for [THREADS, 0, [THREADS, GROUP]] {
        let (column, group, dim) = ((block_idx_x() * THREADS + thread_idx_x()) as usize, block_idx_y(), dim as usize);
        if column >= dim {
            return;
        }
        let x = Values::of(x, halves, 0);
        let (mut d_gamma, mut d_beta) = (0.0, 0.0);
        for row in (group * GROUP) as usize..(rows.min((group + 1) * GROUP)) as usize {
            let dy = *dy.add(row * dim + column);
            d_gamma += dy * ((x.get(row * dim + column) - *mean.add(row)) * *rstd.add(row));
            d_beta += dy;
        }
        let partial = partial.add(group as usize * 2 * dim + column);
        *partial = d_gamma;
        *partial.add(dim) = d_beta;
    }

    /// `d_gamma += Σ partial[..][0]`, `d_beta += Σ partial[..][1]`, groups in order; partial `[groups, 2, dim]`. A thread takes a column.
    /// Items: columns.
    fn layer_norm_backward_finish(d_gamma: *mut f32, d_beta: *mut f32, partial: *const f32, groups: u32, dim: u32) for [THREADS, 0, [THREADS, 1]] {
        let (column, dim) = ((block_idx_x() * THREADS + thread_idx_x()) as usize, dim as usize);
        if column >= dim {
            return;
        }
        let (mut gamma, mut beta) = (*d_gamma.add(column), *d_beta.add(column));
        for group in 0..groups as usize {
            let partial = partial.add(group * 2 * dim + column);
            gamma += *partial;
            beta += *partial.add(dim);
        }
        *d_gamma.add(column) = gamma;
        *d_beta.add(column) = beta;
    }
}
