//! How many weights have each code.

use super::sizes::blocks::THREADS;
use crate::launch::{kernels, on_gpu};

/// Blocks of sixteen weights of a thread: sixteen times as many fit into the byte of a count.
const BLOCKS: u32 = 15;

on_gpu! {
    use super::common::sums::warp_sum_u32;
    use super::sizes::WARP;
    use crate::gpu::atomic::atomic_fetch_add_relaxed_u32_device;
    use crate::gpu::thread::{block_idx_x, thread_idx_x};
    use crate::grid::{BLOCK, row_bytes};
}

kernels! {
    /// Adds to `counts[code]` the number of weights with that code; counts `[16]` must be zero before; codes `[outputs, row_bytes]`. A thread
    /// takes fifteen blocks of sixteen weights, one a block of threads apart, counts in bytes of two words, and each warp adds up. Items:
    /// blocks of sixteen weights, `outputs · ⌈inputs / 16⌉`.
    fn level_histogram(counts: *mut u32, codes: *const u8, outputs: u32, inputs: u32) for [THREADS, 0, [THREADS * BLOCKS, 1]] {
        let blocks = inputs.div_ceil(BLOCK as u32);
        // A byte for each of codes 0–7, and for 8–15.
        let mut packed = [0u64; 2];
        for i in 0..BLOCKS {
            let index = block_idx_x() * THREADS * BLOCKS + i * THREADS + thread_idx_x();
            let (row, block) = ((index / blocks) as usize, (index % blocks) as usize);
            if row < outputs as usize {
                let word = *codes.add(row * row_bytes(inputs as usize) + block * BLOCK / 2).cast::<u64>();
                for j in 0..BLOCK {
                    if block * BLOCK + j < inputs as usize {
                        let code = word >> (4 * j) & 15;
                        let one = 1 << (8 * (code & 7));
                        packed[0] += if code < 8 { one } else { 0 };
                        packed[1] += if code < 8 { 0 } else { one };
                    }
                }
            }
        }
        for code in 0..16 {
            let count = warp_sum_u32((packed[code / 8] >> (8 * (code % 8))) as u32 & 255);
            if thread_idx_x() % WARP == code as u32 && count > 0 {
                atomic_fetch_add_relaxed_u32_device(counts.add(code), count);
            }
        }
    }
}
