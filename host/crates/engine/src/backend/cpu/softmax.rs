//! What softmax is made of.

use multiversion::multiversion;

use super::exp::exp;

const LANES: usize = 16;

/// Turns a row into its exponentials over the largest; returns the largest and the sum.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
pub fn exponentials(row: &mut [f32]) -> (f32, f32) {
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

/// Scales a row.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
pub fn scale(row: &mut [f32], factor: f32) {
    for x in row {
        *x *= factor;
    }
}
