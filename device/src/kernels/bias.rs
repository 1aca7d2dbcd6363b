//! A bias on each row.

use super::sizes::elementwise::{COVERS, THREADS};
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use crate::gpu::thread::{block_idx_x, thread_idx_x};
}

kernels! {
    /// `y[r][j] += bias[j]`; y `[n / dim, dim]`, bias `[dim]`. A thread takes four elements.
    fn bias(y: *mut f32, bias: *const f32, n: u32, dim: u32) for [THREADS, 0, COVERS] {
        let first = block_idx_x() * COVERS[0] + thread_idx_x() * 4;
        for i in first..n.min(first + 4) {
            *y.add(i as usize) += *bias.add((i % dim) as usize);
        }
    }
}
