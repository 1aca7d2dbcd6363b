//! Softmax cross entropy, loss and gradient in one pass over each row of logits.

use multiversion::multiversion;
use rayon::prelude::*;

use super::exp::exp;

const LANES: usize = 16;

/// Turns a row into its exponentials over the largest; returns the largest and the sum.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
pub(super) fn exponentials(row: &mut [f32]) -> (f32, f32) {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let whole = row.len() / LANES * LANES;
    for x in row[..whole].chunks_exact(LANES) {
        for (m, &x) in largest.iter_mut().zip(x) {
            *m = if x > *m { x } else { *m };
        }
    }
    let max = largest.iter().chain(&row[whole..]).fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    let mut sums = [0.0f32; LANES];
    for x in row[..whole].chunks_exact_mut(LANES) {
        for (sum, x) in sums.iter_mut().zip(x) {
            *x = exp(*x - max);
            *sum += *x;
        }
    }
    for (sum, x) in sums.iter_mut().zip(&mut row[whole..]) {
        *x = exp(*x - max);
        *sum += *x;
    }
    (max, sums.iter().sum())
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn scale_row(row: &mut [f32], factor: f32) {
    for x in row {
        *x *= factor;
    }
}

/// Row losses in nats; logits, the first `vocab` columns of `[rows, stride]`, become `(softmax − onehot) · gradient_scale`. A target of `u32::MAX` is masked.
pub fn cross_entropy(logits: &mut [f32], losses: &mut [f32], targets: &[u32], vocab: usize, gradient_scale: f32) {
    let stride = logits.len() / losses.len();
    logits.par_chunks_exact_mut(stride).zip(losses).zip(targets).with_min_len(8).for_each(|((row, loss), &target)| {
        let row = &mut row[..vocab];
        if target == u32::MAX {
            row.fill(0.0);
            *loss = 0.0;
            return;
        }
        let logit = row[target as usize];
        let (max, sum) = exponentials(row);
        *loss = sum.ln() + (max - logit);
        scale_row(row, gradient_scale / sum);
        row[target as usize] -= gradient_scale;
    });
}
