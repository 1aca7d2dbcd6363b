//! Arithmetic in half precision and bfloat16, one and two numbers at a time.

use crate::case::Operand::{H, W};
use crate::case::{Case, Operand, check};

/// 9.7.4 Half Precision Floating-Point Instructions.
#[rustfmt::skip]
fn half_cases() -> Vec<Case> {
    const ONE: Operand = H(0x3c00);
    const MAX: Operand = H(0x7bff);
    vec![
        ("add.f16 %d, %a, %b;", &[ONE, H(0x4000)], H(0x4200)),
        // 2048 + 1 lies half-way; the even one is 2048.
        ("add.rn.f16 %d, %a, %b;", &[H(0x6800), ONE], H(0x6800)),
        ("add.f16 %d, %a, %b;", &[MAX, MAX], H(0x7c00)),
        ("add.sat.f16 %d, %a, %b;", &[ONE, ONE], ONE),
        ("sub.f16 %d, %a, %b;", &[ONE, H(0x4000)], H(0xbc00)),
        ("sub.f16 %d, %a, %b;", &[H(0x7c00), H(0x7c00)], H(0x7fff)),
        ("mul.f16 %d, %a, %b;", &[H(0x4200), H(0xc000)], H(0xc600)),
        // (1 + 2^-10)² − (1 + 2^-9) = 2^-20.
        ("fma.rn.f16 %d, %a, %a, %b;", &[H(0x3c01), H(0xbc02)], H(0x0010)),
        ("fma.rn.sat.f16 %d, %a, %a, %b;", &[H(0x4000), ONE], ONE),
        ("fma.rn.relu.f16 %d, %a, %a, %b;", &[ONE, H(0xc000)], H(0)),
        ("add.f16x2 %d, %a, %b;", &[W(0x3c00_4000), W(0x3c00_3c00)], W(0x4000_4200)),
        ("sub.f16x2 %d, %a, %b;", &[W(0x3c00_4000), W(0x3c00_3c00)], W(0x0000_3c00)),
        ("mul.f16x2 %d, %a, %b;", &[W(0x4200_4000), W(0xc000_3800)], W(0xc600_3c00)),
        ("fma.rn.f16x2 %d, %a, %b, %c;", &[W(0x4200_4000), W(0xc000_3800), W(0x3c00_3c00)], W(0xc500_4000)),
        ("fma.rn.relu.f16x2 %d, %a, %b, %c;", &[W(0x4200_4000), W(0xc000_3800), W(0x3c00_3c00)], W(0x0000_4000)),
        ("mul.sat.f16x2 %d, %a, %b;", &[W(0x4200_4000), W(0xc000_3800)], W(0x0000_3c00)),
        ("fma.rn.bf16 %d, %a, %b, %c;", &[H(0x4040), H(0x4000), H(0x3f80)], H(0x40e0)),
        ("fma.rn.bf16x2 %d, %a, %b, %c;", &[W(0x4040_3f80), W(0x4000_3f80), W(0x3f80_0000)], W(0x40e0_3f80)),
        ("add.bf16 %d, %a, %b;", &[H(0x3f80), H(0x4000)], H(0x4040)),
        ("mul.bf16x2 %d, %a, %b;", &[W(0x4040_3f80), W(0x4000_3f80)], W(0x40c0_3f80)),
        ("add.ftz.f16 %d, %a, %b;", &[H(0x0001), H(0x8000)], H(0)),
        ("add.ftz.f16x2 %d, %a, %b;", &[W(0x0001_3c00), W(0x0000_3c00)], W(0x0000_4000)),
        ("fma.rn.ftz.f16x2 %d, %a, %b, %c;", &[W(0x0400_3c00), W(0x3800_3c00), W(0)], W(0x0000_3c00)),
        ("neg.f16 %d, %a;", &[ONE], H(0xbc00)),
        ("neg.f16x2 %d, %a;", &[W(0x3c00_bc00)], W(0xbc00_3c00)),
        ("abs.f16 %d, %a;", &[H(0xbc00)], ONE),
        ("abs.bf16x2 %d, %a;", &[W(0xbf80_3f80)], W(0x3f80_3f80)),
        ("min.f16 %d, %a, %b;", &[ONE, H(0x7fff)], ONE),
        ("min.NaN.f16 %d, %a, %b;", &[ONE, H(0x7fff)], H(0x7fff)),
        ("max.f16 %d, %a, %b;", &[H(0x8000), H(0)], H(0)),
        ("max.f16x2 %d, %a, %b;", &[W(0x3c00_4000), W(0x4000_3c00)], W(0x4000_4000)),
        ("min.bf16x2 %d, %a, %b;", &[W(0x3f80_4000), W(0x4000_3f80)], W(0x3f80_3f80)),
        ("max.bf16 %d, %a, %b;", &[H(0x3f80), H(0x4000)], H(0x4000)),
        ("ex2.approx.f16 %d, %a;", &[H(0x4200)], H(0x4800)),
        ("ex2.approx.f16x2 %d, %a;", &[W(0x4200_0000)], W(0x4800_3c00)),
        ("ex2.approx.ftz.bf16 %d, %a;", &[H(0x4040)], H(0x4100)),
        ("tanh.approx.f16 %d, %a;", &[H(0x7c00)], ONE),
        ("tanh.approx.f16x2 %d, %a;", &[W(0xfc00_0000)], W(0xbc00_0000)),
        ("tanh.approx.bf16x2 %d, %a;", &[W(0xff80_0000)], W(0xbf80_0000)),
    ]
}

#[test]
fn half_precision() {
    check(&half_cases());
}
