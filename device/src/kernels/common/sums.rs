//! Sums over lanes and blocks, always in the same order, that of the CPU.

use crate::gpu::thread::{sync_threads, thread_idx_x};
use crate::gpu::warp::{warp_shuffle_idx, warp_shuffle_xor};
use crate::kernels::sizes::{LANES, WARP};

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

/// Values that a thread asks for before it adds up the first of them.
pub const AHEAD: usize = 8;

/// `Σ f(i)` for `i` in `0..n`, by the sixteen lanes of half a warp: lane l sums up l, l + 16, …; then the lanes in order.
#[inline(always)]
pub fn lanes_sum(n: u32, f: impl Fn(usize) -> f32) -> f32 {
    // Both halves of the warp take as many rounds as the longer one needs: after rounds of their own they need not be together again where sums are
    // exchanged, which before sm_70 nothing would mend.
    let most = n.max(warp_shuffle_xor(n, LANES));
    let mut sum = 0.0;
    let mut first = 0;
    while first < most {
        let place = |ahead: usize| first + ahead as u32 * LANES + thread_idx_x() % LANES;
        let values: [f32; AHEAD] = core::array::from_fn(|ahead| if place(ahead) < n { f(place(ahead) as usize) } else { 0.0 });
        for ahead in 0..AHEAD {
            sum = if place(ahead) < n { sum + values[ahead] } else { sum };
        }
        first += AHEAD as u32 * LANES;
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
