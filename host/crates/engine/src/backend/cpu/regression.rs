//! Absolute and squared errors against targets, loss and gradient in one pass over each row.

use multiversion::multiversion;
use primal_device::kernels::sizes;
use rayon::prelude::*;

const LANES: usize = sizes::LANES as usize;
/// Values that a task takes at least.
const VALUES: usize = 16 * 1024;

/// `dx` of a row from `of(difference) = (loss, slope)`, and the sum of its losses.
#[inline(always)]
fn row(dx: &mut [f32], x: &[f32], target: &[f32], of: impl Fn(f32) -> (f32, f32)) -> f32 {
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

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn absolute_row(dx: &mut [f32], x: &[f32], target: &[f32], scale: f32) -> f32 {
    // 0 stays 0, and what is not a number is seen by who watches the gradients.
    let slope = |d: f32| {
        if d > 0.0 {
            scale
        } else if d < 0.0 {
            -scale
        } else {
            d
        }
    };
    row(dx, x, target, |d| (d.abs(), slope(d)))
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn squared_row(dx: &mut [f32], x: &[f32], target: &[f32], scale: f32) -> f32 {
    row(dx, x, target, |d| (d * d, 2.0 * d * scale))
}

fn rows(losses: &mut [f32], dx: &mut [f32], x: &[f32], target: &[f32], of: impl Fn(&mut [f32], &[f32], &[f32]) -> f32 + Sync) {
    let dim = x.len() / losses.len();
    assert_eq!([x.len(), target.len()], [dx.len(), dx.len()], "predictions, targets and their gradient");
    let rows = dx.par_chunks_exact_mut(dim).zip(x.par_chunks_exact(dim)).zip(target.par_chunks_exact(dim)).zip(losses);
    rows.with_min_len(VALUES.div_ceil(dim)).for_each(|(((dx, x), target), loss)| *loss = of(dx, x, target));
}

/// `losses[r] = Σ_j |x[r][j] − target[r][j]|`, `dx = sign(x − target) · gradient_scale`, where sign(0) is 0.
pub fn absolute_error(losses: &mut [f32], dx: &mut [f32], x: &[f32], target: &[f32], gradient_scale: f32) {
    rows(losses, dx, x, target, |dx, x, target| absolute_row(dx, x, target, gradient_scale));
}

/// `losses[r] = Σ_j (x[r][j] − target[r][j])²`, `dx = 2(x − target) · gradient_scale`.
pub fn squared_error(losses: &mut [f32], dx: &mut [f32], x: &[f32], target: &[f32], gradient_scale: f32) {
    rows(losses, dx, x, target, |dx, x, target| squared_row(dx, x, target, gradient_scale));
}
