//! What norms over rows share: sums along rows, and down them for the gradients of parameters.

use primal_device::kernels::layer_norm::GROUP;
use rayon::prelude::*;

/// Rows that a task takes: in the backward pass, those of one partial sum.
pub const ROWS: usize = GROUP as usize;
/// Running sums along a row.
pub const LANES: usize = 8;

/// `Σ of(x)` in eight running sums.
#[inline(always)]
pub fn lanes_sum(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let whole = x.chunks_exact(LANES);
    let rest = whole.remainder();
    for x in whole {
        for (sum, &x) in sums.iter_mut().zip(x) {
            *sum += of(x);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|&x| of(x)).sum::<f32>()
}

/// Adds what `of` adds up over rows to `totals`, N vectors of the same length. Partial sums of 64 rows, a task each, go through the scratch in groups,
/// and are added in order.
pub fn add_up_rows<const N: usize>(
    rows: usize,
    mut totals: [&mut [f32]; N],
    scratch: &mut [f32],
    of: impl Fn(usize, &mut [&mut [f32]; N]) + Sync,
) {
    let dim = totals[0].len();
    let group = (scratch.len() / (N * dim)).min(1024);
    assert!(group > 0, "sums over rows need scratch for {} values", N * dim);
    for start in (0..rows).step_by(group * ROWS) {
        let tasks = (rows - start).div_ceil(ROWS).min(group);
        let partial = &mut scratch[..tasks * N * dim];
        partial.par_chunks_exact_mut(N * dim).enumerate().for_each(|(task, sums)| {
            sums.fill(0.0);
            let mut sums = sums.chunks_exact_mut(dim);
            let mut sums = std::array::from_fn(|_| sums.next().expect("N vectors"));
            let first = start + task * ROWS;
            for row in first..(first + ROWS).min(rows) {
                of(row, &mut sums);
            }
        });
        for sums in partial.chunks_exact(N * dim) {
            for (total, part) in totals.iter_mut().flat_map(|total| total.iter_mut()).zip(sums) {
                *total += part;
            }
        }
    }
}
