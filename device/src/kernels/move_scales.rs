//! Scales of groups that follow their gradients; `vote_rows`, `vote_mean`, `vote_columns` and `vote_factors` of [`super::vote`] come before.

use crate::launch::{kernels, on_gpu};

/// Threads of a block.
const THREADS: u32 = 128;
/// Scales of a thread: one draw of random numbers.
const EACH: u32 = 4;

on_gpu! {
    use super::vote::TINY;
    use crate::gpu::GpuFloat;
    use crate::gpu::float16::{float_of_half, half_of_float};
    use crate::gpu::thread::{block_idx_x, thread_idx_x};
    use crate::philox::RandomStream;
    use crate::rules::halves::round_at_random;
}

kernels! {
    /// `scales[i][j] -= lr·gradient[i][j]·factor[j] / √max(row[i] / mean[0], 1e-30)`, rounded at random to one of two halves; scales (halves) and gradient
    /// `[rows, columns]`, row `[rows]`, mean `[1]`, factor `[columns]`. A thread takes four scales. Items: scales.
    fn move_scales(
        scales: *mut u16, gradient: *const f32, row: *const f32, mean: *const f32, factor: *const f32, rows: u32, columns: u32, lr: f32,
        seed: u64, tensor: u32, step: u64,
    ) for [THREADS, 0, [THREADS * EACH, 1]] {
        let block = block_idx_x() * THREADS + thread_idx_x();
        let (first, n) = (block * EACH, rows * columns);
        if first >= n {
            return;
        }
        let words = RandomStream::new(seed, tensor, step).words(block);
        for k in 0..EACH {
            let at = first + k;
            if at < n {
                let (i, j) = ((at / columns) as usize, (at % columns) as usize);
                let row_factor = 1.0 / (*row.add(i) / *mean).max(TINY).sqrt();
                let normalised = *gradient.add(at as usize) * row_factor * *factor.add(j);
                let scale = scales.add(at as usize);
                *scale = half_of_float(round_at_random(float_of_half(*scale) - lr * normalised, words[k as usize & 3]));
            }
        }
    }
}
