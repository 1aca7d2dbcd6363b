//! A row of a matrix for each warp.

use super::sums::warp_sum;
use crate::gpu::thread::thread_idx_x;
use crate::kernels::sizes::WARP;

/// Walks a row by the lanes of a warp, `V` adjacent values at a time.
#[inline(always)]
pub fn each<const V: usize>(dim: usize, mut body: impl FnMut(usize)) {
    let mut c = (thread_idx_x() % WARP) as usize * V;
    while c < dim {
        body(c);
        c += WARP as usize * V;
    }
}

/// Σ f(c)[..] over a row.
#[inline(always)]
pub fn row_sum<const V: usize>(dim: usize, f: impl Fn(usize) -> [f32; V]) -> f32 {
    let mut sum = 0.0;
    each::<V>(dim, |c| f(c).iter().for_each(|x| sum += x));
    warp_sum(sum)
}
