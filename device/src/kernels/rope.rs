//! Rotary positions (Su et al. 2021).

use crate::launch::{kernels, on_gpu};

/// Threads of a block.
const THREADS: u32 = 128;

on_gpu! {
    use crate::gpu::thread::{block_idx_x, block_idx_y, thread_idx_x};
}

kernels! {
    /// Turns the pairs of x in place: those at `i·step` and `i·step + apart` of each head by the angle whose cosine and sine are in row
    /// `positions[row]` of the table, back if `sign` is −1; x `[rows, width]` in heads of `head_dim`, table `[entries, 2 · pairs]` (cosines,
    /// then sines), positions `[rows]`, each below entries. A thread takes a pair. Items: rows, pairs of all heads.
    fn rope(
        x: *mut f32, table: *const f32, positions: *const u32, width: u32, head_dim: u32, pairs: u32, step: u32, apart: u32, sign: f32,
    ) for [THREADS, 0, [1, THREADS]] {
        let (row, index) = (block_idx_x() as usize, block_idx_y() * THREADS + thread_idx_x());
        if index >= width / head_dim * pairs {
            return;
        }
        let (head, pair) = (index / pairs, index % pairs);
        let at = table.add(*positions.add(row) as usize * 2 * pairs as usize + pair as usize);
        let (cos, sin) = (*at, *at.add(pairs as usize) * sign);
        let a = x.add(row * width as usize + (head * head_dim + pair * step) as usize);
        let b = a.add(apart as usize);
        let (x, y) = (*a, *b);
        *a = x * cos - y * sin;
        *b = x * sin + y * cos;
    }
}
