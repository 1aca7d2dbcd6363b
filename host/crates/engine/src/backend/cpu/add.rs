//! Sums of activations.

use rayon::prelude::*;

/// Values a task takes at least.
pub(super) const CHUNK: usize = 16 * 1024;

/// `y = a + b`.
pub fn add(y: &mut [f32], a: &[f32], b: &[f32]) {
    y.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK)).for_each(|((y, a), b)| {
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            *y = a + b;
        }
    });
}

/// `y += b`.
pub fn add_in_place(y: &mut [f32], b: &[f32]) {
    y.par_chunks_mut(CHUNK).zip(b.par_chunks(CHUNK)).for_each(|(y, b)| {
        for (y, b) in y.iter_mut().zip(b) {
            *y += b;
        }
    });
}
