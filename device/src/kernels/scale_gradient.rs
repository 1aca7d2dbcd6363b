//! Gradients of row scales.

use super::sizes::LANES;
use crate::grid::Grid;
use crate::launch::{kernels, on_gpu};

/// Threads of a block.
const THREADS: u32 = 128;

#[repr(C)]
struct Levels([f32; 16]);

on_gpu! {
    use super::common::sums::lanes_sum;
    use crate::gpu::shared::dynamic_shared_mem;
    use crate::gpu::thread::{block_idx_x, sync_threads, thread_idx_x};
    use crate::grid::{row_bytes};
}

kernels! {
    /// `d_scale[i] += Σ_j dw[i][j]·level[code[i][j]]`; d_scale `[outputs]`, dw `[outputs, inputs]`, codes `[outputs, row_bytes]`. Half a warp
    /// takes a row, lane l the columns l, l + 16, …. Items: rows. Shared: the levels, 64 bytes.
    fn scale_gradient(d_scale: *mut f32, dw: *const f32, codes: *const u8, grid: *const Grid, outputs: u32, inputs: u32)
        for [THREADS, size_of::<Levels>(), [THREADS / LANES, 1]] {
        let levels = dynamic_shared_mem::<Levels>();
        if thread_idx_x() < 16 {
            (*levels).0[thread_idx_x() as usize & 15] = (*grid).level(thread_idx_x() as u8);
        }
        sync_threads();
        let i = block_idx_x() * (THREADS / LANES) + thread_idx_x() / LANES;
        let dw = dw.wrapping_add(i as usize * inputs as usize);
        let codes = codes.wrapping_add(i as usize * row_bytes(inputs as usize));
        let sum = lanes_sum(if i < outputs { inputs } else { 0 }, |j| {
            *dw.add(j) * (*levels).0[(*codes.add(j / 2) >> (4 * (j % 2)) & 15) as usize]
        });
        if i < outputs && thread_idx_x().is_multiple_of(LANES) {
            *d_scale.add(i as usize) += sum;
        }
    }
}
