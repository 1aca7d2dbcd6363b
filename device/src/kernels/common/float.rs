//! Functions of floats on the approximations that hardware has.

use crate::gpu::GpuFloat;

/// e^x, relative error below 5e-7: `2^x·log₂e` with the product's rounding corrected. 0 for −∞, ∞ above 88.8.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let power = x * core::f32::consts::LOG2_E;
    // Below 2⁻¹⁷; where the product overflows it is infinite or NaN, and must not count.
    let rest = x.mul_add(core::f32::consts::LOG2_E, -power);
    let correction = if rest.abs() < 1.0 { rest * core::f32::consts::LN_2 } else { 0.0 };
    power.exp2() * (1.0 + correction)
}

/// ln x; absolute error 2e-7 for x in [0.5, 2], relative error 4e-7 elsewhere.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    x.log2() * core::f32::consts::LN_2
}
