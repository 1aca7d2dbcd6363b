//! A bias on each row.

use super::sizes::elementwise::{COVERS, THREADS};
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::values::ValuesMut;
    use crate::gpu::thread::{block_idx_x, thread_idx_x};
}

kernels! {
    /// `y[r][j] += bias[j]`; y `[n / dim, dim]`, bias `[dim]`; `halves` tells of y. A thread takes four elements.
    fn bias(y: *mut u8, halves: u32, bias: *const f32, n: u32, dim: u32) for [THREADS, 0, COVERS] {
        let y = ValuesMut::of(y, halves, 0);
        let first = block_idx_x() * COVERS[0] + thread_idx_x() * 4;
        for i in first..n.min(first + 4) {
            y.set(i as usize, y.values().get(i as usize) + *bias.add((i % dim) as usize));
        }
    }
}
