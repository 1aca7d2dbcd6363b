//! The ops `sum` and `sum_squares`, always in the same order, that of the CPU.

use super::sizes::LANES;
use crate::launch::{kernels, on_gpu};

/// Elements that are added up to one partial sum.
pub const CHUNK: u32 = 4096;
/// Partial sums that are added up together.
pub const GROUP: u32 = 64;
/// Threads of a block.
const THREADS: u32 = 256;
/// Chunks of a block.
const CHUNKS: u32 = THREADS / LANES;
/// Elements that one block adds up alone.
pub const BLOCK: u32 = CHUNKS * CHUNK;

#[repr(C)]
struct Groups([f64; THREADS as usize]);
#[repr(C)]
struct Partials([f32; CHUNKS as usize]);

on_gpu! {
    use super::common::sums::lanes_sum;
    use super::common::values::Values;
    use crate::gpu::shared::dynamic_shared_mem;
    use crate::gpu::thread::{block_idx_x, sync_threads, thread_idx_x};

    /// The sum of `f` over one chunk of `x` by half a warp, and whether this lane is the one to store it.
    #[inline(always)]
    unsafe fn chunk(index: u32, x: Values, n: u32, f: impl Fn(f32) -> f32) -> (f32, bool) {
        let first = index as u64 * CHUNK as u64;
        // A chunk beyond the end is empty: the lanes of both halves of a warp stay together.
        let len = (n as u64).saturating_sub(first).min(CHUNK as u64) as u32;
        let x = x.skip(first as usize);
        (lanes_sum(len, |i| f(x.get(i))), len > 0 && thread_idx_x().is_multiple_of(LANES))
    }

    /// The sum of `f` over this half-warp's chunk of `x`.
    #[inline(always)]
    unsafe fn partial_sum(partial: *mut f32, x: Values, n: u32, f: impl Fn(f32) -> f32) {
        let index = (block_idx_x() * THREADS + thread_idx_x()) / LANES;
        let (sum, stores) = chunk(index, x, n, f);
        if stores {
            *partial.add(index as usize) = sum;
        }
    }
}

kernels! {
    /// The first half of `sum`: `partial[c] = Σ x` of each chunk of 4096 elements; x `[n]`, of which `halves` tells. Half a warp takes a chunk. Items: elements.
    fn sum_chunks(partial: *mut f32, x: *const u8, halves: u32, n: u32) for [THREADS, 0, [BLOCK, 1]] {
        partial_sum(partial, Values::of(x, halves, 0), n, |x| x);
    }

    /// The first half of `sum_squares`, as `sum_chunks` of floats.
    fn sum_squares_chunks(partial: *mut f32, x: *const f32, n: u32) for [THREADS, 0, [BLOCK, 1]] {
        partial_sum(partial, x.into(), n, |x| x * x);
    }

    /// The second half of both: `sum[0] = Σ partial`, or `sum[0] += …` if `accumulate` is 1, in `f64`; partial `[chunks]`. One block; a thread
    /// adds up 64 partial sums, the first thread adds up those.
    fn sum_finish(sum: *mut f32, partial: *const f32, chunks: u32, accumulate: u32) for [THREADS, size_of::<Groups>(), [u32::MAX, 1]] {
        let groups = dynamic_shared_mem::<Groups>();
        let mut total = 0.0;
        let mut first = 0;
        while first < chunks {
            let start = first + thread_idx_x() * GROUP;
            let mut group = 0.0;
            for i in start..chunks.min(start + GROUP) {
                group += *partial.add(i as usize) as f64;
            }
            (*groups).0[thread_idx_x() as usize] = group;
            sync_threads();
            if thread_idx_x() == 0 {
                for i in 0..(chunks - first).div_ceil(GROUP).min(THREADS) {
                    total += (*groups).0[i as usize];
                }
            }
            sync_threads();
            first += THREADS * GROUP;
        }
        if thread_idx_x() == 0 {
            *sum = if accumulate == 1 { *sum + total as f32 } else { total as f32 };
        }
    }

    /// Both halves at once of at most 65,536 elements: `sum[0] = Σ x`, or of x² if `square` is 1, or `sum[0] += …` if `accumulate` is; x `[n]`, of
    /// which `halves` tells. One block.
    fn sum_block(
        sum: *mut f32, x: *const u8, halves: u32, square: u32, accumulate: u32, n: u32,
    ) for [THREADS, size_of::<Partials>(), [u32::MAX, 1]] {
        let partials = dynamic_shared_mem::<Partials>();
        let index = thread_idx_x() / LANES;
        let (partial, stores) = chunk(index, Values::of(x, halves, 0), n, |x| if square == 1 { x * x } else { x });
        if stores {
            (*partials).0[index as usize] = partial;
        }
        sync_threads();
        if thread_idx_x() == 0 {
            let mut total = 0.0;
            for i in 0..n.div_ceil(CHUNK) {
                total += (*partials).0[i as usize] as f64;
            }
            *sum = if accumulate == 1 { *sum + total as f32 } else { total as f32 };
        }
    }
}
