//! Leaky rectified linear units (Maas et al. 2013).

use rayon::prelude::*;

use super::add::CHUNK;

fn forward(x: f32, slope: f32) -> f32 {
    if x > 0.0 { x } else { slope * x }
}

/// `y = leaky_relu(x)`.
pub fn leaky_relu(y: &mut [f32], x: &[f32], slope: f32) {
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = forward(x, slope));
    });
}

/// `x = leaky_relu(x)`.
pub fn leaky_relu_in_place(x: &mut [f32], slope: f32) {
    x.par_chunks_mut(CHUNK).for_each(|x| x.iter_mut().for_each(|x| *x = forward(*x, slope)));
}

/// `dx = dy · leaky_relu′(x)`.
pub fn leaky_relu_backward(dx: &mut [f32], dy: &[f32], x: &[f32], slope: f32) {
    dx.par_chunks_mut(CHUNK).zip(dy.par_chunks(CHUNK)).zip(x.par_chunks(CHUNK)).for_each(|((dx, dy), x)| {
        for ((dx, dy), &x) in dx.iter_mut().zip(dy).zip(x) {
            *dx = dy * if x > 0.0 { 1.0 } else { slope };
        }
    });
}

/// `dy = dy · leaky_relu′(x)`.
pub fn leaky_relu_backward_in_place(dy: &mut [f32], x: &[f32], slope: f32) {
    dy.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(dy, x)| {
        for (dy, &x) in dy.iter_mut().zip(x) {
            *dy *= if x > 0.0 { 1.0 } else { slope };
        }
    });
}
