//! Sums over lanes and blocks, and the ops `sum` and `sum_squares`: always in the same order, that of the CPU.

use crate::gpu::thread::{block_idx_x, sync_threads, thread_idx_x};
use crate::gpu::warp::{warp_shuffle_idx, warp_shuffle_xor};
use crate::gpu::{WARP, kernels, shared::dynamic_shared_mem};

/// Lanes that share a sum in the order of the CPU.
pub const LANES: u32 = 16;
/// Elements of a chunk, and chunks of a group, as in the CPU's `reduce`.
const CHUNK: u32 = 4096;
const GROUP: u32 = 64;
/// Threads of a block.
const THREADS: u32 = 256;

/// The combination of all lanes' values, the same in each of them.
#[inline(always)]
pub fn warp_reduce(mut value: f32, combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = WARP / 2;
    while lanes > 0 {
        value = combine(value, f32::from_bits(warp_shuffle_xor(value.to_bits(), lanes)));
        lanes /= 2;
    }
    value
}

/// The sum over all lanes.
#[inline(always)]
pub fn warp_sum(value: f32) -> f32 {
    warp_reduce(value, |a, b| a + b)
}

/// The sum over all lanes, of integers.
#[inline(always)]
pub fn warp_sum_u32(mut value: u32) -> u32 {
    let mut lanes = WARP / 2;
    while lanes > 0 {
        value += warp_shuffle_xor(value, lanes);
        lanes /= 2;
    }
    value
}

/// The sum over the sixteen lanes of this half of a warp, first to last.
#[inline(always)]
pub fn ordered_sum(value: f32) -> f32 {
    let first = thread_idx_x() & LANES;
    let mut sum = f32::from_bits(warp_shuffle_idx(value.to_bits(), first));
    for lane in 1..LANES {
        sum += f32::from_bits(warp_shuffle_idx(value.to_bits(), first + lane));
    }
    sum
}

/// `Σ f(i)` for `i` in `0..n`, by the sixteen lanes of half a warp: lane l sums up l, l + 16, …; then the lanes in order.
#[inline(always)]
pub fn lanes_sum(n: u32, f: impl Fn(usize) -> f32) -> f32 {
    // Both halves of the warp take as many rounds as the longer one needs: after rounds of their own they need not be together again where sums are
    // exchanged, which before sm_70 nothing would mend.
    let most = n.max(warp_shuffle_xor(n, LANES));
    let mut sum = 0.0;
    let mut first = 0;
    while first < most {
        let i = first + thread_idx_x() % LANES;
        if i < n {
            sum += f(i as usize);
        }
        first += LANES;
    }
    ordered_sum(sum)
}

/// The combination of all threads' values of a block of `WARPS` warps, the same in each of them. `scratch` holds a value a warp.
///
/// Ends with all threads past a barrier, so `scratch` may be used again after the next one.
#[inline(always)]
pub unsafe fn block_reduce<const WARPS: usize>(value: f32, scratch: *mut [f32; WARPS], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let value = warp_reduce(value, &combine);
    sync_threads();
    if thread_idx_x().is_multiple_of(WARP) {
        (*scratch)[(thread_idx_x() / WARP) as usize] = value;
    }
    sync_threads();
    let mut total = (*scratch)[0];
    for warp in 1..WARPS {
        total = combine(total, (*scratch)[warp]);
    }
    total
}

/// The sum of `f` over one chunk of `x` by half a warp.
#[inline(always)]
unsafe fn chunk(partial: *mut f32, x: *const f32, n: u32, f: impl Fn(f32) -> f32) {
    let index = (block_idx_x() * THREADS + thread_idx_x()) / LANES;
    let first = index as u64 * CHUNK as u64;
    // A chunk beyond the end is empty: the lanes of both halves of a warp stay together.
    let len = (n as u64).saturating_sub(first).min(CHUNK as u64) as u32;
    let x = x.wrapping_add(first as usize);
    let sum = lanes_sum(len, |i| f(*x.add(i)));
    if len > 0 && thread_idx_x().is_multiple_of(LANES) {
        *partial.add(index as usize) = sum;
    }
}

#[repr(C)]
struct Groups([f64; THREADS as usize]);

kernels! {
    /// The first half of `sum`: `partial[c] = Σ x` of each chunk of 4096 elements; x `[n]`. Half a warp takes a chunk. Items: elements.
    fn sum_chunks(partial: *mut f32, x: *const f32, n: u32) for [THREADS, 0, [THREADS / LANES * CHUNK, 1]] {
        chunk(partial, x, n, |x| x);
    }

    /// The first half of `sum_squares`, as `sum_chunks`.
    fn sum_squares_chunks(partial: *mut f32, x: *const f32, n: u32) for [THREADS, 0, [THREADS / LANES * CHUNK, 1]] {
        chunk(partial, x, n, |x| x * x);
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
}
