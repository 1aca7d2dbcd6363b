//! GELU in its tanh form (Hendrycks & Gimpel 2016), as GPT-2 has it.

use super::sizes::elementwise::{COVERS, THREADS};
use crate::launch::{kernels, on_gpu};

/// √(2/π)
pub const ROOT: f32 = 0.797_884_6;
/// The factor of x³.
pub const CUBIC: f32 = 0.044_715;

on_gpu! {
    use super::common::elementwise::map;
    use super::common::float::exp;
    use super::common::values::{Values, ValuesMut};

    /// `σ(2u)` with `u = √(2/π)(x + 0.044715x³)`, since ½(1 + tanh u) = σ(2u).
    #[inline(always)]
    fn sigmoid(x: f32) -> f32 {
        1.0 / (1.0 + exp(-2.0 * ROOT * x * (1.0 + CUBIC * x * x)))
    }
}

kernels! {
    /// `y = gelu(x)`, both `[n]`; `halves` tells of y, x. A thread takes four elements.
    fn gelu(y: *mut u8, x: *const u8, halves: u32, n: u32) for [THREADS, 0, COVERS] {
        map(ValuesMut::of(y, halves, 0), [Values::of(x, halves, 1)], n, |[x]| x * sigmoid(x));
    }

    /// `dx = dy · gelu′(x)`, all `[n]`; dx may be dy; `halves` tells of x. A thread takes four elements.
    fn gelu_backward(dx: *mut f32, dy: *const f32, x: *const u8, halves: u32, n: u32) for [THREADS, 0, COVERS] {
        map(dx, [dy.into(), Values::of(x, halves, 0)], n, |[dy, x]| {
            let s = sigmoid(x);
            dy * (s + x * s * (1.0 - s) * 2.0 * ROOT * (1.0 + 3.0 * CUBIC * x * x))
        });
    }
}
