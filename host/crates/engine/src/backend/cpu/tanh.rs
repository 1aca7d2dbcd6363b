//! Hyperbolic tangent.

use multiversion::multiversion;
use rayon::prelude::*;

use super::add::CHUNK;
use super::exp::exp;

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn forward(x: &mut [f32]) {
    for x in x {
        // tanh x = 1 − 2/(e^2x + 1), good to a rounding of 1.
        *x = 1.0 - 2.0 / (exp(2.0 * *x) + 1.0);
    }
}

/// `y = tanh(x)`.
pub fn tanh(y: &mut [f32], x: &[f32]) {
    y.copy_from_slice(x);
    tanh_in_place(y);
}

/// `x = tanh(x)`.
pub fn tanh_in_place(x: &mut [f32]) {
    x.par_chunks_mut(CHUNK).for_each(forward);
}

/// `dx = dy · (1 − y²)`.
pub fn tanh_backward(dx: &mut [f32], dy: &[f32], y: &[f32]) {
    dx.copy_from_slice(dy);
    tanh_backward_in_place(dx, y);
}

/// `dy = dy · (1 − y²)`.
pub fn tanh_backward_in_place(dy: &mut [f32], y: &[f32]) {
    dy.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(dy, y)| {
        dy.iter_mut().zip(y).for_each(|(dy, y)| *dy *= 1.0 - y * y);
    });
}
