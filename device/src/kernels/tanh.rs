//! Hyperbolic tangent.

use super::sizes::elementwise::{COVERS, THREADS};
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::elementwise::map;
    use super::common::float::exp;
    use crate::gpu::GpuFloat;

    /// tanh x, relative error below 1e-6: the Taylor series where `1 − 2 / (e^2x + 1)` would cancel.
    #[inline(always)]
    fn tanh(x: f32) -> f32 {
        if x.abs() < 0.25 {
            let square = x * x;
            let tail = square.mul_add(-17.0 / 315.0, 2.0 / 15.0).mul_add(square, -1.0 / 3.0);
            (x * square).mul_add(tail, x)
        } else {
            1.0 - 2.0 / (exp(2.0 * x) + 1.0)
        }
    }
}

kernels! {
    /// `y = tanh(x)`, both `[n]`; y may be x. A thread takes four elements.
    fn tanh_forward(y: *mut f32, x: *const f32, n: u32) for [THREADS, 0, COVERS] {
        map(y, [x], n, |[x]| tanh(x));
    }

    /// `dx = dy · (1 − y²)`, all `[n]`; dx may be dy. A thread takes four elements.
    fn tanh_backward(dx: *mut f32, dy: *const f32, y: *const f32, n: u32) for [THREADS, 0, COVERS] {
        map(dx, [dy, y], n, |[dy, y]| dy * (1.0 - y * y));
    }
}
