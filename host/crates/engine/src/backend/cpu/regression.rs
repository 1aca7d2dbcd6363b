//! Losses against targets, loss and gradient in one pass over each row.

use primal_device::kernels::sizes;
use rayon::prelude::*;

const LANES: usize = sizes::LANES as usize;
/// Values that a task takes at least.
const VALUES: usize = 16 * 1024;

/// `dx` of a row from `of(difference) = (loss, slope)`, and the sum of its losses.
#[inline(always)]
pub fn row(dx: &mut [f32], x: &[f32], target: &[f32], of: impl Fn(f32) -> (f32, f32)) -> f32 {
    let mut sums = [0.0f32; LANES];
    for ((dx, x), target) in dx.chunks_mut(LANES).zip(x.chunks(LANES)).zip(target.chunks(LANES)) {
        for (((dx, x), target), sum) in dx.iter_mut().zip(x).zip(target).zip(&mut sums) {
            let (loss, slope) = of(x - target);
            *sum += loss;
            *dx = slope;
        }
    }
    sums.iter().sum()
}

/// `losses` and `dx` of all rows, each by `of`.
pub fn rows(losses: &mut [f32], dx: &mut [f32], x: &[f32], target: &[f32], of: impl Fn(&mut [f32], &[f32], &[f32]) -> f32 + Sync) {
    let dim = x.len() / losses.len();
    assert_eq!([x.len(), target.len()], [dx.len(), dx.len()], "predictions, targets and their gradient");
    let rows = dx.par_chunks_exact_mut(dim).zip(x.par_chunks_exact(dim)).zip(target.par_chunks_exact(dim)).zip(losses);
    rows.with_min_len(VALUES.div_ceil(dim)).for_each(|(((dx, x), target), loss)| *loss = of(dx, x, target));
}
