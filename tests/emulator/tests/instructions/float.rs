//! Arithmetic in single and double precision.

use crate::case::Operand::{L, P, W};
use crate::case::{Case, NAN, check};
use crate::common::{Size, execute, module};

/// 9.7.3 Floating-Point Instructions, with rounding, `.ftz` and `.sat`.
fn float_cases() -> Vec<Case> {
    vec![
        ("testp.finite.f32 %d, %a;", &[W(0x7f80_0000)], P(false)),
        ("testp.infinite.f32 %d, %a;", &[W(0xff80_0000)], P(true)),
        ("testp.number.f32 %d, %a;", &[W(0x7f80_0000)], P(true)),
        ("testp.notanumber.f32 %d, %a;", &[NAN], P(true)),
        ("testp.normal.f32 %d, %a;", &[W(0x8000_0000)], P(true)),
        ("testp.normal.f32 %d, %a;", &[W(1)], P(false)),
        ("testp.subnormal.f64 %d, %a;", &[L(1)], P(true)),
        ("copysign.f32 %d, %a, %b;", &[W(0xbf80_0000), W(0x4040_0000)], W(0xc040_0000)),
        ("copysign.f64 %d, %a, %b;", &[L(1 << 63), L(0x4008_0000_0000_0000)], L(0xc008_0000_0000_0000)),
        ("add.f32 %d, %a, %b;", &[W(0x3f80_0000), W(0x4000_0000)], W(0x4040_0000)),
        // 1 + 2^-24 lies half-way between two singles; the even one is 1.
        ("add.rn.f32 %d, %a, %b;", &[W(0x3f80_0000), W(0x3380_0000)], W(0x3f80_0000)),
        ("add.rp.f32 %d, %a, %b;", &[W(0x3f80_0000), W(0x3380_0000)], W(0x3f80_0001)),
        ("add.rz.f32 %d, %a, %b;", &[W(0xbf80_0000), W(0xb380_0000)], W(0xbf80_0000)),
        ("add.rm.f32 %d, %a, %b;", &[W(0xbf80_0000), W(0xb380_0000)], W(0xbf80_0001)),
        ("add.ftz.f32 %d, %a, %b;", &[W(0x0040_0000), W(0x3f80_0000)], W(0x3f80_0000)),
        ("add.ftz.f32 %d, %a, %b;", &[W(0x0080_0001), W(0x8080_0000)], W(0)),
        ("add.f32 %d, %a, %b;", &[W(0x0080_0001), W(0x8080_0000)], W(1)),
        ("add.sat.f32 %d, %a, %b;", &[W(0x3f80_0000), W(0x3f80_0000)], W(0x3f80_0000)),
        ("add.sat.f32 %d, %a, %b;", &[W(0xbf80_0000), W(0xbf80_0000)], W(0)),
        ("add.sat.f32 %d, %a, %b;", &[NAN, W(0x3f80_0000)], W(0)),
        ("add.f32 %d, %a, %b;", &[W(0x7f80_0000), W(0xff80_0000)], NAN),
        ("add.f32 %d, %a, %b;", &[W(0xffc1_2345), W(0x3f80_0000)], NAN),
        ("add.f64 %d, %a, %b;", &[L(0x3ff0_0000_0000_0000), L(0x3ff0_0000_0000_0000)], L(0x4000_0000_0000_0000)),
        ("add.rp.f64 %d, %a, %b;", &[L(0x3ff0_0000_0000_0000), L(1)], L(0x3ff0_0000_0000_0001)),
        ("sub.f32 %d, %a, %b;", &[W(0x3f80_0000), W(0x4000_0000)], W(0xbf80_0000)),
        ("sub.rm.f32 %d, %a, %b;", &[W(0x3f80_0000), W(0x3f80_0000)], W(0x8000_0000)),
        ("sub.ftz.sat.f32 %d, %a, %b;", &[W(0x4000_0000), W(0x3f00_0000)], W(0x3f80_0000)),
        ("sub.rz.f64 %d, %a, %b;", &[L(0x3ff0_0000_0000_0000), L(1)], L(0x3fef_ffff_ffff_ffff)),
        ("mul.f32 %d, %a, %b;", &[W(0x4040_0000), W(0xc000_0000)], W(0xc0c0_0000)),
        ("mul.rz.f32 %d, %a, %b;", &[W(0x7f7f_ffff), W(0x4000_0000)], W(0x7f7f_ffff)),
        ("mul.rn.f32 %d, %a, %b;", &[W(0x7f7f_ffff), W(0x4000_0000)], W(0x7f80_0000)),
        ("mul.rm.f32 %d, %a, %b;", &[W(0x7f7f_ffff), W(0x4000_0000)], W(0x7f7f_ffff)),
        ("mul.ftz.f32 %d, %a, %b;", &[W(0x0080_0000), W(0xbf00_0000)], W(0x8000_0000)),
        // (1 + 2^-23)² = 1 + 2^-22 + 2^-46.
        ("mul.rp.f32 %d, %a, %a;", &[W(0x3f80_0001)], W(0x3f80_0003)),
        ("mul.rn.f32 %d, %a, %a;", &[W(0x3f80_0001)], W(0x3f80_0002)),
        ("mul.rp.f64 %d, %a, %a;", &[L(0x3ff0_0000_0000_0001)], L(0x3ff0_0000_0000_0003)),
        // … which fma keeps: its difference from 1 + 2^-22 is 2^-46.
        ("fma.rn.f32 %d, %a, %a, %b;", &[W(0x3f80_0001), W(0xbf80_0002)], W(0x2880_0000)),
        ("mad.rn.f32 %d, %a, %a, %b;", &[W(0x3f80_0001), W(0xbf80_0002)], W(0x2880_0000)),
        ("fma.rz.f32 %d, %a, %b, %c;", &[W(0x3f80_0000), W(0x3f80_0000), W(0x0000_0001)], W(0x3f80_0000)),
        ("fma.rp.f32 %d, %a, %b, %c;", &[W(0x3f80_0000), W(0x3f80_0000), W(0x0000_0001)], W(0x3f80_0001)),
        ("fma.rn.ftz.f32 %d, %a, %b, %c;", &[W(0x0040_0000), W(0x4000_0000), W(0x3f80_0000)], W(0x3f80_0000)),
        ("fma.rn.sat.f32 %d, %a, %b, %c;", &[W(0x4000_0000), W(0x4000_0000), W(0xc060_0000)], W(0x3f00_0000)),
        ("fma.rn.f32 %d, %a, %b, %c;", &[W(0x7f80_0000), W(0), W(0)], NAN),
        ("fma.rn.f64 %d, %a, %a, %b;", &[L(0x3ff0_0000_0000_0001), L(0xbff0_0000_0000_0002)], L(0x3970_0000_0000_0000)),
        ("fma.rm.f64 %d, %a, %a, %b;", &[L(0x3ff0_0000_0000_0000), L(0x8000_0000_0000_0001)], L(0x3fef_ffff_ffff_ffff)),
        ("div.rn.f32 %d, %a, %b;", &[W(0x3f80_0000), W(0x4040_0000)], W(0x3eaa_aaab)),
        ("div.rz.f32 %d, %a, %b;", &[W(0x3f80_0000), W(0x4040_0000)], W(0x3eaa_aaaa)),
        ("div.rp.f32 %d, %a, %b;", &[W(0xbf80_0000), W(0x4040_0000)], W(0xbeaa_aaaa)),
        ("div.rn.f32 %d, %a, %b;", &[W(0xbf80_0000), W(0)], W(0xff80_0000)),
        ("div.rn.f64 %d, %a, %b;", &[L(0x3ff0_0000_0000_0000), L(0x4008_0000_0000_0000)], L(0x3fd5_5555_5555_5555)),
        ("div.rp.f64 %d, %a, %b;", &[L(0x3ff0_0000_0000_0000), L(0x4008_0000_0000_0000)], L(0x3fd5_5555_5555_5556)),
        // Above 2^126 div.approx gives zero, and NaN for an infinite dividend; div.full does not.
        ("div.approx.f32 %d, %a, %b;", &[W(0x4000_0000), W(0x7f00_0001)], W(0)),
        ("div.approx.f32 %d, %a, %b;", &[W(0x7f80_0000), W(0x7f00_0001)], NAN),
        ("div.approx.ftz.f32 %d, %a, %b;", &[W(0x40c0_0000), W(0x4000_0000)], W(0x4040_0000)),
        ("div.full.f32 %d, %a, %b;", &[W(0x7f7f_ffff), W(0x7f7f_ffff)], W(0x3f80_0000)),
        ("abs.f32 %d, %a;", &[W(0xbf80_0000)], W(0x3f80_0000)),
        ("abs.ftz.f32 %d, %a;", &[W(0x8000_0001)], W(0)),
        ("abs.f64 %d, %a;", &[L(0xbff0_0000_0000_0000)], L(0x3ff0_0000_0000_0000)),
        ("neg.f32 %d, %a;", &[W(0)], W(0x8000_0000)),
        ("neg.ftz.f32 %d, %a;", &[W(1)], W(0x8000_0000)),
        ("neg.f64 %d, %a;", &[L(0)], L(1 << 63)),
        ("min.f32 %d, %a, %b;", &[W(0x8000_0000), W(0)], W(0x8000_0000)),
        ("min.f32 %d, %a, %b;", &[W(0), W(0x8000_0000)], W(0x8000_0000)),
        ("min.f32 %d, %a, %b;", &[NAN, W(0x3f80_0000)], W(0x3f80_0000)),
        ("min.f32 %d, %a, %b;", &[NAN, W(0xffff_ffff)], NAN),
        ("min.NaN.f32 %d, %a, %b;", &[NAN, W(0x3f80_0000)], NAN),
        ("min.ftz.f32 %d, %a, %b;", &[W(0x8000_0001), W(0x3f80_0000)], W(0x8000_0000)),
        ("max.f32 %d, %a, %b;", &[W(0x8000_0000), W(0)], W(0)),
        ("max.f32 %d, %a, %b;", &[W(0x3f80_0000), W(0xc000_0000)], W(0x3f80_0000)),
        ("max.xorsign.abs.f32 %d, %a, %b;", &[W(0x3f80_0000), W(0xc000_0000)], W(0xc000_0000)),
        ("min.f64 %d, %a, %b;", &[L(0x3ff0_0000_0000_0000), L(0xc000_0000_0000_0000)], L(0xc000_0000_0000_0000)),
        ("max.f64 %d, %a, %b;", &[L(0x7ff8_0000_0000_0000), L(0xc000_0000_0000_0000)], L(0xc000_0000_0000_0000)),
        ("rcp.rn.f32 %d, %a;", &[W(0x4040_0000)], W(0x3eaa_aaab)),
        ("rcp.rm.f32 %d, %a;", &[W(0x4040_0000)], W(0x3eaa_aaaa)),
        ("rcp.rn.f64 %d, %a;", &[L(0x4008_0000_0000_0000)], L(0x3fd5_5555_5555_5555)),
        ("rcp.approx.f32 %d, %a;", &[W(0x8000_0000)], W(0xff80_0000)),
        ("rcp.approx.ftz.f32 %d, %a;", &[W(0x4000_0000)], W(0x3f00_0000)),
        ("rcp.approx.ftz.f64 %d, %a;", &[L(0x4000_0000_0000_0000)], L(0x3fe0_0000_0000_0000)),
        // The root of 2 lies between 0x3fb504f3 and 0x3fb504f4, nearer to the first.
        ("sqrt.rn.f32 %d, %a;", &[W(0x4000_0000)], W(0x3fb5_04f3)),
        ("sqrt.rp.f32 %d, %a;", &[W(0x4000_0000)], W(0x3fb5_04f4)),
        ("sqrt.rn.f32 %d, %a;", &[W(0xbf80_0000)], NAN),
        ("sqrt.rn.f32 %d, %a;", &[W(0x8000_0000)], W(0x8000_0000)),
        ("sqrt.approx.ftz.f32 %d, %a;", &[W(0x0000_0100)], W(0)),
        ("sqrt.approx.f32 %d, %a;", &[W(0x4080_0000)], W(0x4000_0000)),
        ("sqrt.rn.f64 %d, %a;", &[L(0x4000_0000_0000_0000)], L(0x3ff6_a09e_667f_3bcd)),
        ("sqrt.rz.f64 %d, %a;", &[L(0x4000_0000_0000_0000)], L(0x3ff6_a09e_667f_3bcc)),
        ("rsqrt.approx.f32 %d, %a;", &[W(0x4080_0000)], W(0x3f00_0000)),
        ("rsqrt.approx.ftz.f32 %d, %a;", &[W(0x8000_0000)], W(0xff80_0000)),
        ("rsqrt.approx.f64 %d, %a;", &[L(0x4010_0000_0000_0000)], L(0x3fe0_0000_0000_0000)),
        ("rsqrt.approx.ftz.f64 %d, %a;", &[L(0x4010_0000_0000_0000)], L(0x3fe0_0000_0000_0000)),
        ("sin.approx.f32 %d, %a;", &[W(0x8000_0000)], W(0x8000_0000)),
        ("sin.approx.ftz.f32 %d, %a;", &[W(0x7f80_0000)], NAN),
        ("cos.approx.f32 %d, %a;", &[W(0)], W(0x3f80_0000)),
        ("lg2.approx.f32 %d, %a;", &[W(0x4100_0000)], W(0x4040_0000)),
        ("lg2.approx.f32 %d, %a;", &[W(0)], W(0xff80_0000)),
        ("lg2.approx.ftz.f32 %d, %a;", &[W(0x0000_0001)], W(0xff80_0000)),
        ("lg2.approx.f32 %d, %a;", &[W(0xbf80_0000)], NAN),
        ("ex2.approx.f32 %d, %a;", &[W(0x4040_0000)], W(0x4100_0000)),
        ("ex2.approx.ftz.f32 %d, %a;", &[W(0xff80_0000)], W(0)),
        ("ex2.approx.ftz.f32 %d, %a;", &[W(0xc307_0000)], W(0)),
        ("ex2.approx.f32 %d, %a;", &[W(0xc307_0000)], W(0x0000_4000)),
        ("tanh.approx.f32 %d, %a;", &[W(0x7f80_0000)], W(0x3f80_0000)),
        ("tanh.approx.f32 %d, %a;", &[W(0x8000_0000)], W(0x8000_0000)),
    ]
}

#[test]
fn floating_point() {
    check(&float_cases());
}

/// The approximate functions keep to the bounds of sections 9.7.3.13 – 9.7.3.22 (greatest relative or absolute errors).
#[test]
fn approximations_are_as_good_as_promised() {
    type Reference = fn(f64) -> f64;
    let relative: [(&str, Reference, f64); 5] = [
        ("rcp.approx.f32", |x| 1.0 / x, 2f64.powi(-23)),
        ("sqrt.approx.f32", f64::sqrt, 2f64.powi(-23)),
        ("rsqrt.approx.f32", |x| 1.0 / x.sqrt(), 2f64.powf(-22.9)),
        ("ex2.approx.f32", f64::exp2, 2f64.powi(-22)),
        ("tanh.approx.f32", f64::tanh, 2f64.powi(-11)),
    ];
    let absolute: [(&str, Reference, f64); 3] = [
        ("sin.approx.f32", f64::sin, 2f64.powf(-20.5)),
        ("cos.approx.f32", f64::cos, 2f64.powf(-20.5)),
        ("lg2.approx.f32", f64::log2, 2f64.powi(-22)),
    ];
    let points: Vec<f32> = (1..=64).map(|i| i as f32 * 0.04857).collect();
    for (name, reference, bound, scaled) in
        relative.iter().map(|&(n, r, b)| (n, r, b, true)).chain(absolute.iter().map(|&(n, r, b)| (n, r, b, false)))
    {
        for &x in &points {
            let code = format!(".reg .b32 %a, %d; mov.b32 %a, {:#x}; {name} %d, %a; st.global.b32 [%out], %d;", x.to_bits());
            let got = f64::from(f32::from_bits(execute(&module(&code), Size::threads(1), 1).unwrap()[0]));
            let expected = reference(x.into());
            let scale = if scaled { expected.abs() } else { expected.abs().max(1.0) };
            let error = (got - expected).abs() / scale;
            assert!(error <= bound, "{name}({x}): got {got}, expected {expected}, error {error:e}, bound {bound:e}");
        }
    }
}
