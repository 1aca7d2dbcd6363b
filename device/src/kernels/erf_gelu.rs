//! GELU in its exact form (Hendrycks & Gimpel 2016), `x · Φ(x)`, by formula 7.1.26 of Abramowitz and Stegun (1964): erf within 1.5e-7.

use super::sizes::elementwise::{COVERS, THREADS};
use crate::launch::{kernels, on_gpu};

/// `1 − erf(z) = t · (((((A₄t + A₃)t + A₂)t + A₁)t + A₀) · e^(−z²)` for z ≥ 0, with `t = 1 / (1 + TAIL · z)`.
pub const ERFC: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_7, -1.453_152, 1.061_405_4];
/// See [`ERFC`].
pub const TAIL: f32 = 0.327_591_1;

/// `x · Φ(x)`, by this e^x.
#[inline(always)]
pub fn erf_gelu(x: f32, exp: impl Fn(f32) -> f32) -> f32 {
    let z = x.abs() * core::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + TAIL * z);
    let [a0, a1, a2, a3, a4] = ERFC;
    let tail = 0.5 * t * ((((a4 * t + a3) * t + a2) * t + a1) * t + a0) * exp(-z * z);
    x * if x < 0.0 { tail } else { 1.0 - tail }
}

on_gpu! {
    use super::common::elementwise::map;
    use super::common::float::exp;
}

kernels! {
    /// `y = x · Φ(x)`, both `[n]`; y may be x. A thread takes four elements.
    fn erf_gelu_forward(y: *mut f32, x: *const f32, n: u32) for [THREADS, 0, COVERS] {
        map(y, [x], n, |[x]| erf_gelu(x, exp));
    }
}
