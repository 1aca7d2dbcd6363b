//! One small PTX for each instruction form. The expected values were worked out by hand from what the PTX ISA manual is known to say (release 8.x,
//! the section stands at each table), never from the emulator.

mod common;

use common::{Size, execute, module};

/// A value of an operand: 16, 32 or 64 bits, or a predicate.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operand {
    H(u16),
    W(u32),
    L(u64),
    P(bool),
}
use Operand::{H, L, P, W};

const NAN: Operand = W(0x7fff_ffff);

/// An instruction with `%d` as destination and `%a`, `%b`, `%c`, `%e` as sources, the values of these, and the expected result.
type Case = (&'static str, &'static [Operand], Operand);

impl Operand {
    fn declaration(self, name: &str) -> String {
        match self {
            H(_) => format!(".reg .b16 {name};"),
            W(_) => format!(".reg .b32 {name};"),
            L(_) => format!(".reg .b64 {name};"),
            P(_) => format!(".reg .pred {name};"),
        }
    }

    fn assignment(self, name: &str) -> String {
        match self {
            H(bits) => format!("mov.b16 {name}, {bits:#x};"),
            W(bits) => format!("mov.b32 {name}, {bits:#x};"),
            L(bits) => format!("mov.b64 {name}, {bits:#x};"),
            P(bit) => format!("setp.ne.u32 {name}, {}, 0;", u32::from(bit)),
        }
    }

    fn store(self) -> &'static str {
        match self {
            H(_) => "st.global.b16 [%at], %d;",
            W(_) => "st.global.b32 [%at], %d;",
            L(_) => "st.global.b64 [%at], %d;",
            P(_) => "selp.u32 %as, 1, 0, %d; st.global.u32 [%at], %as;",
        }
    }

    fn read(self, low: u32, high: u32) -> Operand {
        match self {
            H(_) => H(low as u16),
            W(_) => W(low),
            L(_) => L(u64::from(high) << 32 | u64::from(low)),
            P(_) => P(low != 0),
        }
    }
}

fn source((code, inputs, expected): &Case) -> String {
    let names = ["%a", "%b", "%c", "%e"];
    let declarations: String = inputs.iter().zip(names).map(|(value, name)| value.declaration(name)).collect();
    let assignments: String = inputs.iter().zip(names).map(|(value, name)| value.assignment(name)).collect();
    module(&format!(
        ".reg .b32 %t, %as; .reg .b64 %at; {} {declarations}\nmov.u32 %t, %tid.x; mul.wide.u32 %at, %t, 8; add.u64 %at, %out, %at;\n\
         {assignments}\n{code}\n{}",
        expected.declaration("%d"),
        expected.store()
    ))
}

/// Runs the cases on a full warp and on a part of one.
fn check(cases: &[Case]) {
    let mut wrong = Vec::new();
    for case in cases {
        for threads in [32, 20] {
            let words = execute(&source(case), Size::threads(threads), 64).unwrap_or_else(|fault| panic!("{}: {fault}", case.0));
            let got: Vec<Operand> = words.chunks(2).map(|pair| case.2.read(pair[0], pair[1])).collect();
            if let Some(lane) = (0..threads as usize).find(|&lane| got[lane] != case.2) {
                wrong.push(format!("{} of {:x?}: lane {lane} of {threads} got {:x?}, expected {:x?}", case.0, case.1, got[lane], case.2));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// 9.7.1 Integer Arithmetic Instructions.
fn integer_cases() -> Vec<Case> {
    vec![
        ("add.u16 %d, %a, %b;", &[H(0xffff), H(2)], H(1)),
        ("add.s32 %d, %a, %b;", &[W(0x7fff_ffff), W(1)], W(0x8000_0000)),
        ("add.sat.s32 %d, %a, %b;", &[W(0x7fff_ffff), W(1)], W(0x7fff_ffff)),
        ("add.sat.s32 %d, %a, -3;", &[W(0x8000_0001)], W(0x8000_0000)),
        ("add.u64 %d, %a, %b;", &[L(u64::MAX), L(5)], L(4)),
        ("sub.s16 %d, %a, %b;", &[H(0), H(1)], H(0xffff)),
        ("sub.u32 %d, %a, %b;", &[W(3), W(5)], W(0xffff_fffe)),
        ("sub.sat.s32 %d, %a, %b;", &[W(0x8000_0000), W(1)], W(0x8000_0000)),
        ("sub.s64 %d, %a, %b;", &[L(3), L(5)], L(-2i64 as u64)),
        ("mul.lo.u16 %d, %a, %b;", &[H(300), H(300)], H(24464)),
        ("mul.hi.u16 %d, %a, %b;", &[H(300), H(300)], H(1)),
        ("mul.hi.s16 %d, %a, %b;", &[H(0xffff), H(2)], H(0xffff)),
        ("mul.wide.u16 %d, %a, %b;", &[H(0xffff), H(0xffff)], W(0xfffe_0001)),
        ("mul.wide.s16 %d, %a, %b;", &[H(0xffff), H(3)], W(-3i32 as u32)),
        ("mul.lo.s32 %d, %a, %b;", &[W(-7i32 as u32), W(6)], W(-42i32 as u32)),
        ("mul.hi.s32 %d, %a, %b;", &[W(-7i32 as u32), W(6)], W(u32::MAX)),
        ("mul.hi.u32 %d, %a, %b;", &[W(0x8000_0000), W(6)], W(3)),
        ("mul.wide.s32 %d, %a, %b;", &[W(-7i32 as u32), W(6)], L(-42i64 as u64)),
        ("mul.wide.u32 %d, %a, %b;", &[W(u32::MAX), W(2)], L(0x1_ffff_fffe)),
        ("mul.lo.u64 %d, %a, %b;", &[L(1 << 63), L(3)], L(1 << 63)),
        ("mul.hi.u64 %d, %a, %b;", &[L(1 << 63), L(6)], L(3)),
        ("mul.hi.u64 %d, %a, %a;", &[L(u64::MAX)], L(u64::MAX - 1)),
        ("mul.hi.s64 %d, %a, %b;", &[L(u64::MAX), L(6)], L(u64::MAX)),
        ("mad.lo.s32 %d, %a, %b, %c;", &[W(3), W(5), W(-20i32 as u32)], W(-5i32 as u32)),
        ("mad.lo.u16 %d, %a, %b, %c;", &[H(256), H(256), H(7)], H(7)),
        ("mad.hi.u32 %d, %a, %b, %c;", &[W(0x8000_0000), W(4), W(5)], W(7)),
        ("mad.hi.sat.s32 %d, %a, %b, %c;", &[W(0x4000_0000), W(4), W(0x7fff_ffff)], W(0x7fff_ffff)),
        ("mad.wide.s32 %d, %a, %b, %c;", &[W(-7i32 as u32), W(6), L(40)], L(-2i64 as u64)),
        ("mad.wide.u32 %d, %a, %b, %c;", &[W(u32::MAX), W(u32::MAX), L(0)], L(0xffff_fffe_0000_0001)),
        ("mad.wide.u16 %d, %a, %b, %c;", &[H(0xffff), H(2), W(2)], W(0x2_0000)),
        ("mad.lo.s64 %d, %a, %b, %c;", &[L(1 << 40), L(1 << 30), L(9)], L(9)),
        ("mul24.lo.s32 %d, %a, %b;", &[W(0x00ff_ffff), W(2)], W(-2i32 as u32)),
        ("mul24.hi.u32 %d, %a, %b;", &[W(0x00ff_ffff), W(0x00ff_ffff)], W(0xffff_fe00)),
        ("mad24.lo.u32 %d, %a, %b, %c;", &[W(0x0100_0003), W(5), W(1)], W(16)),
        ("mad24.hi.sat.s32 %d, %a, %b, %c;", &[W(0x7f_ffff), W(0x7f_ffff), W(0x7fff_ffff)], W(0x7fff_ffff)),
        ("sad.s32 %d, %a, %b, %c;", &[W(-3i32 as u32), W(4), W(10)], W(17)),
        ("sad.u32 %d, %a, %b, %c;", &[W(u32::MAX), W(0), W(2)], W(1)),
        ("sad.u16 %d, %a, %b, %c;", &[H(2), H(5), H(1)], H(4)),
        ("div.s32 %d, %a, %b;", &[W(-7i32 as u32), W(2)], W(-3i32 as u32)),
        ("div.u32 %d, %a, %b;", &[W(-7i32 as u32), W(2)], W(0x7fff_fffc)),
        ("div.u16 %d, %a, %b;", &[H(50000), H(7)], H(7142)),
        ("div.s64 %d, %a, %b;", &[L(-7i64 as u64), L(2)], L(-3i64 as u64)),
        ("rem.s32 %d, %a, %b;", &[W(-7i32 as u32), W(2)], W(-1i32 as u32)),
        ("rem.u64 %d, %a, %b;", &[L(u64::MAX), L(10)], L(5)),
        ("abs.s32 %d, %a;", &[W(-7i32 as u32)], W(7)),
        ("abs.s16 %d, %a;", &[H(0xffff)], H(1)),
        ("abs.s64 %d, %a;", &[L(-7i64 as u64)], L(7)),
        ("neg.s32 %d, %a;", &[W(7)], W(-7i32 as u32)),
        ("neg.s16 %d, %a;", &[H(7)], H(0xfff9)),
        ("neg.s64 %d, %a;", &[L(7)], L(-7i64 as u64)),
        ("min.s32 %d, %a, %b;", &[W(-7i32 as u32), W(2)], W(-7i32 as u32)),
        ("min.u32 %d, %a, %b;", &[W(-7i32 as u32), W(2)], W(2)),
        ("min.s16 %d, %a, %b;", &[H(0xffff), H(2)], H(0xffff)),
        ("max.s64 %d, %a, %b;", &[L(-7i64 as u64), L(2)], L(2)),
        ("max.u64 %d, %a, %b;", &[L(-7i64 as u64), L(2)], L(-7i64 as u64)),
        ("max.relu.s32 %d, %a, %b;", &[W(-7i32 as u32), W(-2i32 as u32)], W(0)),
        ("popc.b32 %d, %a;", &[W(0xf000_000f)], W(8)),
        ("popc.b64 %d, %a;", &[L(u64::MAX)], W(64)),
        ("clz.b32 %d, %a;", &[W(1)], W(31)),
        ("clz.b32 %d, %a;", &[W(0)], W(32)),
        ("clz.b64 %d, %a;", &[L(1)], W(63)),
        ("bfind.u32 %d, %a;", &[W(0x0000_8001)], W(15)),
        ("bfind.u32 %d, %a;", &[W(0)], W(u32::MAX)),
        ("bfind.s32 %d, %a;", &[W(-1i32 as u32)], W(u32::MAX)),
        ("bfind.s32 %d, %a;", &[W(-9i32 as u32)], W(3)),
        ("bfind.shiftamt.u32 %d, %a;", &[W(0x0000_8001)], W(16)),
        ("bfind.shiftamt.u32 %d, %a;", &[W(0)], W(u32::MAX)),
        ("bfind.u64 %d, %a;", &[L(1 << 40)], W(40)),
        ("bfind.s64 %d, %a;", &[L(-1i64 as u64)], W(u32::MAX)),
        ("fns.b32 %d, %a, %b, %c;", &[W(0b1011_0100), W(0), W(2)], W(4)),
        ("fns.b32 %d, %a, %b, %c;", &[W(0b1011_0100), W(6), W(-1i32 as u32)], W(5)),
        ("fns.b32 %d, %a, %b, %c;", &[W(0b1011_0100), W(2), W(0)], W(2)),
        ("fns.b32 %d, %a, %b, %c;", &[W(0b1011_0100), W(0), W(9)], W(u32::MAX)),
        ("brev.b32 %d, %a;", &[W(0x8000_0001)], W(0x8000_0001)),
        ("brev.b32 %d, %a;", &[W(3)], W(0xc000_0000)),
        ("brev.b64 %d, %a;", &[L(3)], L(0xc000_0000_0000_0000)),
        ("bfe.u32 %d, %a, %b, %c;", &[W(0xabcd_ef12), W(8), W(8)], W(0xef)),
        ("bfe.u32 %d, %a, %b, %c;", &[W(0xabcd_ef12), W(28), W(8)], W(0xa)),
        ("bfe.u32 %d, %a, %b, %c;", &[W(0xabcd_ef12), W(32), W(8)], W(0)),
        ("bfe.u32 %d, %a, %b, %c;", &[W(0xabcd_ef12), W(0), W(40)], W(0xabcd_ef12)),
        ("bfe.s32 %d, %a, %b, %c;", &[W(0xabcd_ef12), W(8), W(8)], W(0xffff_ffef)),
        ("bfe.s32 %d, %a, %b, %c;", &[W(0x2bcd_6f12), W(8), W(8)], W(0x6f)),
        ("bfe.s32 %d, %a, %b, %c;", &[W(0xabcd_ef12), W(28), W(8)], W(0xffff_fffa)),
        ("bfe.s32 %d, %a, %b, %c;", &[W(0xabcd_ef12), W(40), W(8)], W(u32::MAX)),
        ("bfe.s32 %d, %a, %b, 0;", &[W(u32::MAX), W(3)], W(0)),
        ("bfe.u64 %d, %a, %b, %c;", &[L(0xabcd << 40), W(40), W(8)], L(0xcd)),
        ("bfe.s64 %d, %a, %b, %c;", &[L(0xabcd << 40), W(40), W(8)], L(-51i64 as u64)),
        ("bfi.b32 %d, %a, %b, 8, 4;", &[W(0xff), W(0)], W(0xf00)),
        ("bfi.b32 %d, %a, %b, %c, %e;", &[W(0), W(u32::MAX), W(28), W(8)], W(0x0fff_ffff)),
        ("bfi.b32 %d, %a, %b, %c, %e;", &[W(0), W(u32::MAX), W(33), W(8)], W(u32::MAX)),
        ("bfi.b64 %d, %a, %b, %c, %e;", &[L(0xab), L(0), W(40), W(8)], L(0xab << 40)),
        ("szext.clamp.s32 %d, %a, %b;", &[W(0x80), W(8)], W(0xffff_ff80)),
        ("szext.wrap.u32 %d, %a, %b;", &[W(0xfff), W(36)], W(0xf)),
        ("bmsk.clamp.b32 %d, %a, %b;", &[W(4), W(8)], W(0xff0)),
        ("bmsk.wrap.b32 %d, %a, %b;", &[W(36), W(8)], W(0xff0)),
        ("dp4a.s32.s32 %d, %a, %b, %c;", &[W(0xff02_0304), W(0x0102_0304), W(100)], W(128)),
        ("dp4a.u32.u32 %d, %a, %b, %c;", &[W(0xff02_0304), W(0x0102_0304), W(100)], W(384)),
        ("dp4a.u32.s32 %d, %a, %b, %c;", &[W(0x0000_00ff), W(0x0000_00ff), W(0)], W(-255i32 as u32)),
        ("dp2a.lo.s32.s32 %d, %a, %b, %c;", &[W(0xffff_0003), W(0x7f7f_0204), W(1)], W(11)),
        ("dp2a.hi.s32.s32 %d, %a, %b, %c;", &[W(0xffff_0003), W(0x02ff_7f7f), W(1)], W(-4i32 as u32)),
        ("dp2a.lo.u32.u32 %d, %a, %b, %c;", &[W(0xffff_0003), W(0x0000_01ff), W(0)], W(0xffff + 3 * 255)),
    ]
}

#[test]
fn integer_arithmetic() {
    check(&integer_cases());
}

/// 9.7.2 Extended-Precision Integer Arithmetic Instructions.
fn extended_cases() -> Vec<Case> {
    vec![
        ("add.cc.u32 %d, %a, %b; addc.u32 %d, 0, 0;", &[W(u32::MAX), W(1)], W(1)),
        ("add.cc.u32 %d, %a, %b; addc.u32 %d, 5, 6;", &[W(7), W(1)], W(11)),
        ("add.cc.u32 %d, %a, %b; addc.cc.u32 %d, %a, 0; addc.u32 %d, 0, 0;", &[W(u32::MAX), W(1)], W(1)),
        ("add.cc.u64 %d, %a, %b; addc.u64 %d, 0, 0;", &[L(u64::MAX), L(1)], L(1)),
        ("sub.cc.u32 %d, %a, %b; subc.u32 %d, 9, 0;", &[W(1), W(2)], W(8)),
        ("sub.cc.u32 %d, %a, %b; subc.u32 %d, 9, 0;", &[W(2), W(2)], W(9)),
        ("sub.cc.u32 %d, %a, %b; addc.u32 %d, 0, 0;", &[W(2), W(2)], W(1)),
        ("sub.cc.u32 %d, %a, %b; subc.cc.u32 %d, 0, 0; addc.u32 %d, 0, 0;", &[W(1), W(2)], W(0)),
        ("sub.cc.u64 %d, %a, %b; subc.u64 %d, 0, 0;", &[L(1), L(2)], L(u64::MAX)),
        ("mad.lo.cc.u32 %d, %a, %b, %c; madc.hi.u32 %d, %a, %b, 0;", &[W(u32::MAX), W(u32::MAX), W(u32::MAX)], W(u32::MAX)),
        ("mad.lo.cc.u32 %d, %a, %b, %c; madc.hi.u32 %d, %a, %b, 7;", &[W(3), W(4), W(5)], W(7)),
    ]
}

#[test]
fn extended_precision() {
    check(&extended_cases());
}

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

/// 9.7.9 Data Movement and Conversion Instructions: `mov`, `prmt`, `cvt`.
fn movement_cases() -> Vec<Case> {
    const HALF_DOUBLE: Operand = L(0x3fe0_0000_0000_0000);
    vec![
        ("mov.b64 %d, {%a, %b};", &[W(1), W(2)], L(0x2_0000_0001)),
        ("mov.b32 %d, {%a, %b};", &[H(1), H(2)], W(0x2_0001)),
        ("mov.b64 %d, {%a, %b, %c, %e};", &[H(1), H(2), H(3), H(4)], L(0x0004_0003_0002_0001)),
        (".reg .b32 %x; mov.b64 {%x, %d}, %a;", &[L(0x2_0000_0001)], W(2)),
        (".reg .b16 %x; mov.b32 {%d, %x}, %a;", &[W(0x2_0001)], H(1)),
        ("mov.f32 %d, 0f3F800000;", &[], W(0x3f80_0000)),
        ("mov.f64 %d, 0d3FE0000000000000;", &[], HALF_DOUBLE),
        ("mov.u32 %d, WARP_SZ;", &[], W(32)),
        ("mov.u32 %d, %ntid.y;", &[], W(1)),
        ("prmt.b32 %d, %a, %b, 0x3210;", &[W(0x4433_2211), W(0x8877_6655)], W(0x4433_2211)),
        ("prmt.b32 %d, %a, %b, 0x7531;", &[W(0x4433_2211), W(0x8877_6655)], W(0x8866_4422)),
        // Selectors with their highest bit copy the sign of the byte.
        ("prmt.b32 %d, %a, %b, 0xf80f;", &[W(0x4433_2211), W(0x8877_6655)], W(0xff00_11ff)),
        ("prmt.b32.f4e %d, %a, %b, 1;", &[W(0x4433_2211), W(0x8877_6655)], W(0x5544_3322)),
        ("prmt.b32.b4e %d, %a, %b, 1;", &[W(0x4433_2211), W(0x8877_6655)], W(0x7788_1122)),
        ("prmt.b32.rc8 %d, %a, %b, 2;", &[W(0x4433_2211), W(0x8877_6655)], W(0x3333_3333)),
        ("prmt.b32.ecl %d, %a, %b, 2;", &[W(0x4433_2211), W(0x8877_6655)], W(0x4433_3333)),
        ("prmt.b32.ecr %d, %a, %b, 2;", &[W(0x4433_2211), W(0x8877_6655)], W(0x3333_2211)),
        ("prmt.b32.rc16 %d, %a, %b, 1;", &[W(0x4433_2211), W(0x8877_6655)], W(0x4433_4433)),
        // Integers.
        ("cvt.u64.u32 %d, %a;", &[W(u32::MAX)], L(0xffff_ffff)),
        ("cvt.s64.s32 %d, %a;", &[W(u32::MAX)], L(u64::MAX)),
        ("cvt.u32.u64 %d, %a;", &[L(0x1_2345_6789)], W(0x2345_6789)),
        ("cvt.u32.u8 %d, %a;", &[W(0x1ff)], W(0xff)),
        ("cvt.s32.s8 %d, %a;", &[W(0x1ff)], W(u32::MAX)),
        ("cvt.s8.s32 %d, %a;", &[W(0x80)], W(0xffff_ff80)),
        ("cvt.u8.u32 %d, %a;", &[W(0x180)], W(0x80)),
        ("cvt.u16.u32 %d, %a;", &[W(0x12345)], H(0x2345)),
        ("cvt.s32.s16 %d, %a;", &[H(0x8000)], W(0xffff_8000)),
        ("cvt.sat.s8.s32 %d, %a;", &[W(1000)], W(127)),
        ("cvt.sat.u8.s32 %d, %a;", &[W(-5i32 as u32)], W(0)),
        ("cvt.sat.s32.s64 %d, %a;", &[L(u64::MAX << 40)], W(0x8000_0000)),
        ("cvt.sat.u32.s64 %d, %a;", &[L(1 << 40)], W(u32::MAX)),
        // Integers to floating point: 2^24 + 1 lies half-way.
        ("cvt.rn.f32.s32 %d, %a;", &[W(0x0100_0001)], W(0x4b80_0000)),
        ("cvt.rp.f32.u32 %d, %a;", &[W(0x0100_0001)], W(0x4b80_0001)),
        ("cvt.rz.f32.s32 %d, %a;", &[W(-0x0100_0001i32 as u32)], W(0xcb80_0000)),
        ("cvt.rn.f32.u64 %d, %a;", &[L(u64::MAX)], W(0x5f80_0000)),
        ("cvt.rz.f32.u64 %d, %a;", &[L(u64::MAX)], W(0x5f7f_ffff)),
        ("cvt.rn.f64.s64 %d, %a;", &[L(u64::MAX)], L(0xbff0_0000_0000_0000)),
        ("cvt.rn.f64.u32 %d, %a;", &[W(u32::MAX)], L(0x41ef_ffff_ffe0_0000)),
        ("cvt.rn.f16.s32 %d, %a;", &[W(2049)], H(0x6800)),
        ("cvt.rn.f16.u32 %d, %a;", &[W(70000)], H(0x7c00)),
        ("cvt.rn.f32.u8 %d, %a;", &[W(0x1ff)], W(0x437f_0000)),
        // Floating point to integers: 2.5, −2.5, out of range, NaN.
        ("cvt.rni.s32.f32 %d, %a;", &[W(0x4020_0000)], W(2)),
        ("cvt.rzi.s32.f32 %d, %a;", &[W(0xc020_0000)], W(-2i32 as u32)),
        ("cvt.rmi.s32.f32 %d, %a;", &[W(0xc020_0000)], W(-3i32 as u32)),
        ("cvt.rpi.s32.f32 %d, %a;", &[W(0x4020_0000)], W(3)),
        ("cvt.rzi.u32.f32 %d, %a;", &[W(0xc020_0000)], W(0)),
        ("cvt.rzi.s32.f32 %d, %a;", &[W(0x7f80_0000)], W(0x7fff_ffff)),
        ("cvt.rzi.u32.f32 %d, %a;", &[W(0x5000_0000)], W(u32::MAX)),
        ("cvt.rzi.s32.f32 %d, %a;", &[NAN], W(0)),
        ("cvt.rzi.s64.f64 %d, %a;", &[L(0xc1e0_0000_0020_0000)], L(-2147483649i64 as u64)),
        ("cvt.rni.u64.f32 %d, %a;", &[W(0x5f80_0000)], L(u64::MAX)),
        ("cvt.rzi.s16.f16 %d, %a;", &[H(0xc100)], H(0xfffe)),
        ("cvt.rni.s8.f32 %d, %a;", &[W(0x447a_0000)], W(127)),
        ("cvt.rpi.ftz.s32.f32 %d, %a;", &[W(0x0000_0001)], W(0)),
        ("cvt.rpi.s32.f32 %d, %a;", &[W(0x0000_0001)], W(1)),
        // Floating point to floating point.
        ("cvt.f64.f32 %d, %a;", &[W(0x3f00_0000)], HALF_DOUBLE),
        ("cvt.rn.f32.f64 %d, %a;", &[L(0x3ff0_0000_1000_0000)], W(0x3f80_0000)),
        ("cvt.rp.f32.f64 %d, %a;", &[L(0x3ff0_0000_1000_0000)], W(0x3f80_0001)),
        ("cvt.rz.f32.f64 %d, %a;", &[L(0x7fef_ffff_ffff_ffff)], W(0x7f7f_ffff)),
        ("cvt.rn.ftz.f32.f64 %d, %a;", &[L(0x37a0_0000_0000_0000)], W(0)),
        ("cvt.rn.f16.f32 %d, %a;", &[W(0x3f80_1000)], H(0x3c00)),
        ("cvt.rn.f16.f32 %d, %a;", &[W(0x3f80_3000)], H(0x3c02)),
        ("cvt.rz.f16.f32 %d, %a;", &[W(0x3f80_3000)], H(0x3c01)),
        ("cvt.rn.f16.f32 %d, %a;", &[W(0x4780_0000)], H(0x7c00)),
        ("cvt.rz.f16.f32 %d, %a;", &[W(0x4780_0000)], H(0x7bff)),
        ("cvt.rn.relu.f16.f32 %d, %a;", &[W(0xbf80_0000)], H(0)),
        ("cvt.rn.f16.f64 %d, %a;", &[L(0x3ff0_0200_0000_0001)], H(0x3c01)),
        ("cvt.f32.f16 %d, %a;", &[H(0x0001)], W(0x3380_0000)),
        ("cvt.f32.f16 %d, %a;", &[H(0xfc00)], W(0xff80_0000)),
        ("cvt.f64.f16 %d, %a;", &[H(0x3800)], HALF_DOUBLE),
        ("cvt.sat.f32.f32 %d, %a;", &[W(0x4000_0000)], W(0x3f80_0000)),
        ("cvt.sat.f32.f32 %d, %a;", &[NAN], W(0)),
        ("cvt.rni.f32.f32 %d, %a;", &[W(0x4020_0000)], W(0x4000_0000)),
        ("cvt.rpi.f64.f64 %d, %a;", &[HALF_DOUBLE], L(0x3ff0_0000_0000_0000)),
        ("cvt.rzi.f16.f16 %d, %a;", &[H(0xc100)], H(0xc000)),
        ("cvt.rn.bf16.f32 %d, %a;", &[W(0x3f80_8000)], H(0x3f80)),
        ("cvt.rn.bf16.f32 %d, %a;", &[W(0x3f81_8000)], H(0x3f82)),
        ("cvt.rz.bf16.f32 %d, %a;", &[W(0x3f81_8000)], H(0x3f81)),
        ("cvt.f32.bf16 %d, %a;", &[H(0xbf80)], W(0xbf80_0000)),
        ("cvt.rn.f16x2.f32 %d, %a, %b;", &[W(0x3f80_0000), W(0x4000_0000)], W(0x3c00_4000)),
        ("cvt.rn.relu.bf16x2.f32 %d, %a, %b;", &[W(0xbf80_0000), W(0x4000_0000)], W(0x0000_4000)),
        ("cvt.rna.tf32.f32 %d, %a;", &[W(0x3f80_1000)], W(0x3f80_2000)),
        ("cvt.pack.sat.u8.s32.b32 %d, %a, %b, %c;", &[W(300), W(-5i32 as u32), W(0xabcd)], W(0xabcd_ff00)),
        ("cvt.pack.sat.s16.s32 %d, %a, %b;", &[W(40000), W(-5i32 as u32)], W(0x7fff_fffb)),
    ]
}

#[test]
fn movement_and_conversion() {
    check(&movement_cases());
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

/// What is not supported is refused when the module is loaded, with its name and line.
#[test]
fn refuses_what_it_does_not_know() {
    let refused = |body: &str| common::device().load(&module(body), 0).map(|_| ()).unwrap_err().to_string();
    let cases = [
        (".reg .b32 %a;\nfrobnicate.b32 %a, %a;", "line 10: instruction `frobnicate.b32` is not supported"),
        (".reg .b32 %a;\nadd.rainbow.s32 %a, %a, %a;", "line 10: modifier `.rainbow` of `add.rainbow.s32` is not supported"),
        (".reg .b32 %a;\nadd.s32 %a, %b, %a;", "line 10: `%b` is not declared"),
        (".reg .b32 %a; .reg .b16 %b;\nadd.s32 %a, %b, %a;", "line 10: register `%b` has 16 bits, not 32"),
        (".reg .b32 %a;\nadd.s32 %a, %a;", "line 10: `add.s32` takes 3 operands, not 2"),
        (".reg .b32 %a;\nbra nowhere;", "label `nowhere` is not there"),
        ("tex.1d.v4.f32.s32 {%f1, %f2, %f3, %f4}, [t, {%r1}];", "line 9: "),
        ("wmma.load.a.sync.aligned.m16n16k16.row.f16 {%r1}, [%out];", "line 9: instruction `wmma"),
    ];
    for (body, expected) in cases {
        let message = refused(body);
        assert!(message.contains(expected), "{body}\ngot {message:?}, expected {expected:?}");
    }
}
