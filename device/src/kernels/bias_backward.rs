//! The gradient of a bias: the sum over rows, in groups of rows.

use crate::launch::{kernels, on_gpu};

/// Threads of a block: a column each.
const THREADS: u32 = 128;
/// Rows that are added up to one partial sum.
pub const GROUP: u32 = 64;

on_gpu! {
    use crate::gpu::thread::{block_idx_x, block_idx_y, thread_idx_x};
}

kernels! {
    /// `partial[g] = Σ dy` of 64 rows each; partial `[⌈rows / 64⌉, dim]`, dy `[rows, dim]`. A thread takes a column of 64 rows. Items:
    /// columns, rows.
    fn bias_backward_groups(partial: *mut f32, dy: *const f32, rows: u32, dim: u32) for [THREADS, 0, [THREADS, GROUP]] {
        let (column, group, dim) = ((block_idx_x() * THREADS + thread_idx_x()) as usize, block_idx_y(), dim as usize);
        if column >= dim {
            return;
        }
        let mut sum = 0.0;
        for row in (group * GROUP) as usize..rows.min((group + 1) * GROUP) as usize {
            sum += *dy.add(row * dim + column);
        }
        *partial.add(group as usize * dim + column) = sum;
    }

    /// `d_bias += Σ partial`, groups in order; d_bias `[dim]`, partial `[groups, dim]`. A thread takes a column. Items: columns.
    fn bias_backward_finish(d_bias: *mut f32, partial: *const f32, groups: u32, dim: u32) for [THREADS, 0, [THREADS, 1]] {
        let (column, dim) = ((block_idx_x() * THREADS + thread_idx_x()) as usize, dim as usize);
        if column >= dim {
            return;
        }
        let mut sum = *d_bias.add(column);
        for group in 0..groups as usize {
            sum += *partial.add(group * dim + column);
        }
        *d_bias.add(column) = sum;
    }
}
