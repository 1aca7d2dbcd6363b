//! Comparison and selection.

use crate::case::Operand::{H, L, P, W};
use crate::case::{Case, NAN, Operand, check};

/// 9.7.6 Comparison and Selection Instructions, 9.7.7 Half Precision Comparison Instructions.
fn comparison_cases() -> Vec<Case> {
    const MINUS: Operand = W(-1i32 as u32);
    vec![
        ("setp.eq.s32 %d, %a, %b;", &[W(5), W(5)], P(true)),
        ("setp.ne.b64 %d, %a, %b;", &[L(5), L(1 << 40)], P(true)),
        ("setp.lt.s32 %d, %a, %b;", &[MINUS, W(1)], P(true)),
        ("setp.lt.u32 %d, %a, %b;", &[MINUS, W(1)], P(false)),
        ("setp.lo.u32 %d, %a, %b;", &[W(1), MINUS], P(true)),
        ("setp.ls.u32 %d, %a, %b;", &[W(1), W(1)], P(true)),
        ("setp.hi.u32 %d, %a, %b;", &[MINUS, W(1)], P(true)),
        ("setp.hs.u32 %d, %a, %b;", &[W(0), W(1)], P(false)),
        ("setp.le.s16 %d, %a, %b;", &[H(0xffff), H(1)], P(true)),
        ("setp.gt.u16 %d, %a, %b;", &[H(0xffff), H(1)], P(true)),
        ("setp.ge.s64 %d, %a, %b;", &[L(u64::MAX), L(0)], P(false)),
        ("setp.lt.f32 %d, %a, %b;", &[W(0xbf80_0000), W(0)], P(true)),
        ("setp.eq.f32 %d, %a, %b;", &[W(0x8000_0000), W(0)], P(true)),
        ("setp.eq.ftz.f32 %d, %a, %b;", &[W(0x0000_0001), W(0)], P(true)),
        ("setp.lt.f32 %d, %a, %b;", &[NAN, W(0)], P(false)),
        ("setp.ltu.f32 %d, %a, %b;", &[NAN, W(0)], P(true)),
        ("setp.ne.f32 %d, %a, %b;", &[NAN, W(0)], P(false)),
        ("setp.neu.f32 %d, %a, %b;", &[NAN, W(0)], P(true)),
        ("setp.equ.f32 %d, %a, %b;", &[NAN, NAN], P(true)),
        ("setp.leu.f32 %d, %a, %b;", &[W(0x3f80_0000), W(0)], P(false)),
        ("setp.gtu.f32 %d, %a, %b;", &[W(0x3f80_0000), W(0)], P(true)),
        ("setp.geu.f64 %d, %a, %b;", &[L(0), L(0x7ff8_0000_0000_0000)], P(true)),
        ("setp.num.f32 %d, %a, %b;", &[W(0), NAN], P(false)),
        ("setp.nan.f32 %d, %a, %b;", &[W(0), NAN], P(true)),
        ("setp.gt.f64 %d, %a, %b;", &[L(0x3ff0_0000_0000_0000), L(0)], P(true)),
        ("setp.lt.and.s32 %d, %a, %b, %c;", &[W(1), W(2), P(false)], P(false)),
        ("setp.lt.and.s32 %d, %a, %b, !%c;", &[W(1), W(2), P(false)], P(true)),
        ("setp.lt.or.s32 %d, %a, %b, %c;", &[W(2), W(1), P(true)], P(true)),
        ("setp.lt.xor.s32 %d, %a, %b, %c;", &[W(1), W(2), P(true)], P(false)),
        // d = c & (a < b), q = c & !(a < b).
        (".reg .pred %q; setp.lt.and.s32 %q|%d, %a, %b, %c;", &[W(2), W(1), P(true)], P(true)),
        (".reg .pred %q; setp.lt.s32 %q|%d, %a, %b;", &[W(1), W(2)], P(false)),
        ("setp.lt.f16 %d, %a, %b;", &[H(0xbc00), H(0x3c00)], P(true)),
        ("setp.gtu.bf16 %d, %a, %b;", &[H(0x7fff), H(0x3f80)], P(true)),
        ("set.lt.f16x2.f16x2 %d, %a, %b;", &[W(0x3c00_bc00), W(0x3c00_3c00)], W(0x0000_3c00)),
        ("set.neu.bf16x2.bf16x2 %d, %a, %b;", &[W(0x7fff_3f80), W(0x3f80_3f80)], W(0x3f80_0000)),
        (".reg .pred %q; setp.gt.f16x2 %d|%q, %a, %b;", &[W(0x3c00_bc00), W(0x0000_0000)], P(false)),
        (".reg .pred %q; setp.gt.or.f16x2 %q|%d, %a, %b, %c;", &[W(0x3c00_bc00), W(0), P(false)], P(true)),
        ("set.lt.u32.s32 %d, %a, %b;", &[MINUS, W(1)], MINUS),
        ("set.lt.f32.s32 %d, %a, %b;", &[MINUS, W(1)], W(0x3f80_0000)),
        ("set.gt.u32.f32 %d, %a, %b;", &[W(0), W(0x3f80_0000)], W(0)),
        ("set.eq.and.s32.u32 %d, %a, %b, %c;", &[W(7), W(7), P(true)], MINUS),
        ("selp.b32 %d, %a, %b, %c;", &[W(1), W(2), P(true)], W(1)),
        ("selp.f32 %d, %a, 0f40000000, %b;", &[W(1), P(false)], W(0x4000_0000)),
        ("selp.b16 %d, %a, %b, %c;", &[H(1), H(2), P(false)], H(2)),
        ("selp.s64 %d, %a, %b, %c;", &[L(1), L(2), P(false)], L(2)),
        ("slct.u32.s32 %d, %a, %b, %c;", &[W(1), W(2), W(0)], W(1)),
        ("slct.u32.s32 %d, %a, %b, %c;", &[W(1), W(2), MINUS], W(2)),
        ("slct.b64.f32 %d, %a, %b, %c;", &[L(1), L(2), W(0x8000_0000)], L(1)),
        ("slct.f32.f32 %d, %a, %b, %c;", &[W(1), W(2), NAN], W(2)),
    ]
}

#[test]
fn comparison_and_selection() {
    check(&comparison_cases());
}
