//! `y = x · Wᵀ` of a weight in the blocks of another format: each part of a row is brought to `f32`, and multiplied as such.

use multiversion::multiversion;

use super::cpu::in_tasks;
use crate::backend::cpu::quantized::Quantized;

/// Sums that grow side by side, for vectors.
const LANES: usize = 16;

/// `y = x · Wᵀ`; x `[inputs]`, y `[outputs]`.
pub fn lut_gemv(y: &mut [f32], x: &[f32], w: &Quantized) {
    in_tasks(y, w.row_bytes, |y, first| rows(y, x, w, first));
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma+f16c"))]
fn rows(y: &mut [f32], x: &[f32], w: &Quantized, first: usize) {
    for (row, y) in y.iter_mut().enumerate() {
        let mut sums = [0.0f32; LANES];
        w.parts(first + row, 0, x.len(), |start, values| {
            let (values, rest) = values.as_chunks::<LANES>();
            let (x, x_rest) = x[start..][..values.len() * LANES + rest.len()].as_chunks::<LANES>();
            for (values, x) in values.iter().zip(x) {
                sums.iter_mut().zip(values.iter().zip(x)).for_each(|(sum, (a, b))| *sum += a * b);
            }
            sums.iter_mut().zip(rest.iter().zip(x_rest)).for_each(|(sum, (a, b))| *sum += a * b);
        });
        *y = sums.iter().sum();
    }
}
