//! Logic and shifts.

use crate::case::Operand::{H, L, P, W};
use crate::case::{Case, check};

/// 9.7.8 Logic and Shift Instructions.
fn logic_cases() -> Vec<Case> {
    vec![
        ("and.b32 %d, %a, %b;", &[W(0xff00_ff00), W(0x0ff0_0ff0)], W(0x0f00_0f00)),
        ("or.b16 %d, %a, %b;", &[H(0xf0), H(0x0f)], H(0xff)),
        ("xor.b64 %d, %a, %b;", &[L(u64::MAX), L(0xff)], L(!0xff)),
        ("and.pred %d, %a, %b;", &[P(true), P(false)], P(false)),
        ("or.pred %d, %a, %b;", &[P(true), P(false)], P(true)),
        ("xor.pred %d, %a, %b;", &[P(true), P(true)], P(false)),
        ("not.pred %d, %a;", &[P(true)], P(false)),
        ("mov.pred %d, %a;", &[P(true)], P(true)),
        ("not.b32 %d, %a;", &[W(1)], W(0xffff_fffe)),
        ("not.b16 %d, %a;", &[H(1)], H(0xfffe)),
        ("not.b64 %d, %a;", &[L(1)], L(!1)),
        ("cnot.b32 %d, %a;", &[W(0)], W(1)),
        ("cnot.b32 %d, %a;", &[W(9)], W(0)),
        // (a & b) | c: 0xf0 & 0xcc | 0xaa = 0xea.
        ("lop3.b32 %d, %a, %b, %c, 0xea;", &[W(0b1100), W(0b1010), W(0b0001)], W(0b1001)),
        ("lop3.b32 %d, %a, %b, %c, 0x96;", &[W(0b1100), W(0b1010), W(0b0001)], W(0b0111)),
        ("lop3.b32 %d, %a, %b, %c, 0x40;", &[W(0b1111), W(0b1010), W(0b0010)], W(0b1000)),
        ("shl.b32 %d, %a, %b;", &[W(3), W(4)], W(48)),
        ("shl.b32 %d, %a, %b;", &[W(3), W(32)], W(0)),
        ("shl.b64 %d, %a, %b;", &[L(3), W(40)], L(3 << 40)),
        ("shl.b16 %d, %a, %b;", &[H(3), W(15)], H(0x8000)),
        ("shr.u32 %d, %a, %b;", &[W(0x8000_0000), W(31)], W(1)),
        ("shr.s32 %d, %a, %b;", &[W(0x8000_0000), W(40)], W(u32::MAX)),
        ("shr.b64 %d, %a, %b;", &[L(1 << 40), W(64)], L(0)),
        ("shr.s16 %d, %a, %b;", &[H(0x8000), W(3)], H(0xf000)),
        ("shr.s64 %d, %a, %b;", &[L(1 << 63), W(1)], L(3 << 62)),
        ("shf.l.wrap.b32 %d, %a, %b, %c;", &[W(0xabcd_ef01), W(0x1234_5678), W(8)], W(0x3456_78ab)),
        ("shf.l.clamp.b32 %d, %a, %b, %c;", &[W(0xabcd_ef01), W(0x1234_5678), W(40)], W(0xabcd_ef01)),
        ("shf.r.wrap.b32 %d, %a, %b, %c;", &[W(0xabcd_ef01), W(0x1234_5678), W(40)], W(0x78ab_cdef)),
        ("shf.r.clamp.b32 %d, %a, %b, %c;", &[W(0xabcd_ef01), W(0x1234_5678), W(33)], W(0x1234_5678)),
    ]
}

#[test]
fn logic_and_shift() {
    check(&logic_cases());
}
