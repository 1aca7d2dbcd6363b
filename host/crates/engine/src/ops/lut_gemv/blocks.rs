//! `y = x · Wᵀ` of a weight in the blocks of another format: Q8_0 in integers; of others, and where scratch is short, each part of a row is brought to
//! `f32`, and multiplied as such.

use multiversion::multiversion;

use super::cpu::{RowProduct, in_tasks};
use super::q8_0;
use crate::backend::cpu::quantized::Quantized;
use crate::files::Dtype;

/// Sums that grow side by side, for vectors.
const LANES: usize = 16;

/// `y = x · Wᵀ`; x `[inputs]`, y `[outputs]`.
pub fn lut_gemv(y: &mut [f32], x: &[f32], w: &Quantized, product: RowProduct, scratch: &mut [f32]) {
    if w.dtype == Dtype::Q8_0 && q8_0::scratch_len(x.len()) <= scratch.len() {
        let x = q8_0::Activations::round(x, scratch);
        // SAFETY: `RowProduct::all` gives only those that this processor can run.
        return in_tasks(y, w.row_bytes, |y, first| unsafe { (product.blocks)(y, &w.bytes[first * w.row_bytes..], &x) });
    }
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
