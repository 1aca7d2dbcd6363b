//! Movement of data and conversion of numbers.

use crate::case::Operand::{H, L, W};
use crate::case::{Case, NAN, Operand, check};

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
