//! Gradients of scales.

use super::sizes::LANES;
use crate::grid::Grid;
use crate::launch::{kernels, on_gpu};

/// Threads of a block.
const THREADS: u32 = 128;

#[repr(C)]
struct Levels([f32; 16]);

on_gpu! {
    use super::common::scaling::{GroupScales, Scaling};
    use super::common::sums::lanes_sum;
    use crate::gpu::shared::dynamic_shared_mem;
    use crate::gpu::thread::{block_idx_x, sync_threads, thread_idx_x};
    use crate::grid::{GROUP, row_bytes};
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

    /// `d_step[i][g] += Σ_j dw[i][j]·numerator[code[i][j]]` and, unless d_offset is null, `d_offset[i][g] += Σ_j dw[i][j]`, over the columns j of each group
    /// g; both `[outputs, groups]`, dw `[outputs, inputs]`, codes `[outputs, row_bytes]`. Half a warp takes a group. Items: groups of all rows. Shared: the
    /// numerators, 64 bytes.
    fn group_scale_gradient(
        d_step: *mut f32, d_offset: *mut f32, dw: *const f32, codes: *const u8, grid: *const Grid, outputs: u32, inputs: u32,
    ) for [THREADS, size_of::<Levels>(), [THREADS / LANES, 1]] {
        let numerators = dynamic_shared_mem::<Levels>();
        if thread_idx_x() < 16 {
            (*numerators).0[thread_idx_x() as usize & 15] = GroupScales::entry(&*grid, thread_idx_x() as u8);
        }
        sync_threads();
        let at = block_idx_x() * (THREADS / LANES) + thread_idx_x() / LANES;
        let groups = inputs.div_ceil(GROUP as u32);
        let (i, first) = (at / groups, at % groups * GROUP as u32);
        let len = if i < outputs { (inputs - first).min(GROUP as u32) } else { 0 };
        let dw = dw.wrapping_add(i as usize * inputs as usize + first as usize);
        let codes = codes.wrapping_add(i as usize * row_bytes(inputs as usize) + first as usize / 2);
        let of_step = lanes_sum(len, |j| *dw.add(j) * (*numerators).0[(*codes.add(j / 2) >> (4 * (j % 2)) & 15) as usize]);
        let of_offset = lanes_sum(len, |j| *dw.add(j));
        if len > 0 && thread_idx_x().is_multiple_of(LANES) {
            *d_step.add(at as usize) += of_step;
            if !d_offset.is_null() {
                *d_offset.add(at as usize) += of_offset;
            }
        }
    }
}
