//! Loads, stores, atomics and copies in all spaces (ISA manual 9.7.9, 9.7.12).

mod common;

use common::{Size, device, execute_on, lanes, lanes_of};

/// Loads one value at byte 8 of a table of the module, and gives its low and high word.
fn loaded(form: &str, register: &str) -> u64 {
    let table = ".global .align 16 .b8 table[32] = {0, 1, 2, 3, 4, 5, 6, 7, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 1, 2, 3, 4};";
    let widen = match register {
        "b16" => "cvt.u64.u16 %l, %v;",
        "b32" => "cvt.u64.u32 %l, %v;",
        _ => "mov.b64 %l, %v;",
    };
    let code = format!("{form} %v, [table+8]; {widen} {{ .reg .b32 %lo, %hi; mov.b64 {{%lo, %hi}}, %l; selp.b32 %d, %hi, %lo, %p; }}");
    let got = lanes_of(
        Size::threads(2),
        table,
        &format!(".reg .{register} %v; .reg .b64 %l; .reg .pred %p;"),
        &format!("setp.eq.u32 %p, %t, 1; {code}"),
    );
    u64::from(got[0]) | u64::from(got[1]) << 32
}

/// 9.7.9.8 `ld`: a narrow value is extended to the width of the register, signed types with their sign.
#[test]
fn loads_extend_to_the_register() {
    assert_eq!(loaded("ld.global.u8", "b16"), 0x88);
    assert_eq!(loaded("ld.global.s8", "b16"), 0xff88);
    assert_eq!(loaded("ld.global.s8", "b32"), 0xffff_ff88);
    assert_eq!(loaded("ld.global.s8", "b64"), 0xffff_ffff_ffff_ff88);
    assert_eq!(loaded("ld.global.b8", "b32"), 0x88);
    assert_eq!(loaded("ld.global.u16", "b16"), 0x9988);
    assert_eq!(loaded("ld.global.s16", "b32"), 0xffff_9988);
    assert_eq!(loaded("ld.global.nc.u16", "b64"), 0x9988);
    assert_eq!(loaded("ld.global.u32", "b32"), 0xbbaa_9988);
    assert_eq!(loaded("ld.volatile.global.s32", "b64"), 0xffff_ffff_bbaa_9988);
    assert_eq!(loaded("ld.relaxed.gpu.global.u32", "b64"), 0xbbaa_9988);
    assert_eq!(loaded("ld.global.ca.L2::128B.b64", "b64"), 0xffee_ddcc_bbaa_9988);
}

/// Vectors, with elements that are not wanted, in every space.
#[test]
fn vectors() {
    let spaces = [
        ("", "global", ".global .align 16 .b8 v[16];"),
        ("", "shared", ".shared .align 16 .b8 v[16];"),
        (".local .align 16 .b8 v[16];", "local", ""),
        (".reg .b64 %p;", "", ".global .align 16 .b8 v[16];"),
    ];
    for (inner, space, outer) in spaces {
        let (dot, address, set) = match space {
            "" => ("", "%p", "mov.u64 %p, v; cvta.global.u64 %p, %p;"),
            space => (if space.is_empty() { "" } else { "." }, "v", ""),
        };
        let got = lanes_of(
            Size::threads(1),
            outer,
            &format!("{inner} .reg .b32 %a, %b, %c, %e; .reg .b16 %h, %i;"),
            &format!(
                "{set} st{dot}{space}.v4.u32 [{address}], {{1, 2, 3, 4}}; ld{dot}{space}.v2.u32 {{%a, %b}}, [{address}+8];
                 ld{dot}{space}.v4.b32 {{%c, _, _, %e}}, [{address}]; ld{dot}{space}.v2.u16 {{%h, %i}}, [{address}+4];
                 mad.lo.u32 %d, %a, 10, %b; mad.lo.u32 %d, %d, 10, %c; mad.lo.u32 %d, %d, 10, %e; cvt.u32.u16 %a, %h; mad.lo.u32 %d, %d, 10, %a;"
            ),
        );
        assert_eq!(got, [34142], "{space}");
    }
}

/// 9.7.9.20 `cvta`, 9.7.9.19 `isspacep`: generic addresses of each space reach the same memory.
#[test]
fn generic_addresses() {
    for (space, declare, inner) in
        [("global", ".global .align 4 .u32 v;", ""), ("shared", ".shared .align 4 .u32 v;", ""), ("local", "", ".local .align 4 .u32 v;")]
    {
        let got = lanes_of(
            Size::threads(1),
            declare,
            &format!("{inner} .reg .b64 %g, %s; .reg .pred %p; .reg .b32 %x;"),
            &format!(
                "mov.u64 %s, v; cvta.{space}.u64 %g, %s; st.u32 [%g], 41; ld.{space}.u32 %d, [v]; cvta.to.{space}.u64 %s, %g;
                 st.{space}.u32 [%s], 43; ld.u32 %x, [%g]; mad.lo.u32 %d, %d, 100, %x;
                 isspacep.{space} %p, %g; selp.u32 %x, 10000, 0, %p; add.u32 %d, %d, %x; isspacep.const %p, %g;"
            )
            .replace("isspacep.const %p, %g;", ""),
        );
        assert_eq!(got, [14143], "{space}");
    }
    let other = lanes_of(
        Size::threads(1),
        ".shared .align 4 .u32 v;",
        ".reg .b64 %g; .reg .pred %p, %q;",
        "cvta.shared.u64 %g, v; isspacep.global %p, %g; isspacep.local %q, %g; or.pred %p, %p, %q; selp.u32 %d, 1, 0, %p;",
    );
    assert_eq!(other, [0]);
}

#[test]
fn constants_and_initial_values() {
    let got = lanes_of(
        Size::threads(1),
        ".const .align 4 .f32 c[2] = {0f3F800000, 2.5};
         .global .align 8 .u64 pointers[2] = {generic(c), c+4};
         .global .align 4 .b8 bytes[4] = {0xff, 1};
         .global .align 2 .u16 negative = -2;",
        ".reg .b64 %p; .reg .f32 %f, %g; .reg .b16 %h; .reg .b32 %x;",
        "ld.const.f32 %f, [c+4]; ld.global.u64 %p, [pointers+8]; ld.f32 %g, [%p]; add.f32 %f, %f, %g; cvt.rni.u32.f32 %d, %f;
         ld.global.u32 %x, [bytes]; add.u32 %d, %d, %x; ld.global.s16 %x, [negative]; add.s32 %d, %d, %x;",
    );
    assert_eq!(got, [5 + 0x1ff - 2]);
}

/// Two atomic operations by 32 lanes on one cell: (the sum of what they saw, the cell at the end).
fn atomic(space: &str, ty: &str, form: &str, start: u64, operand: &str) -> (u32, u32) {
    let wide = ty.ends_with("64");
    let (register, store) = if wide { (".b64", "cvt.u32.u64 %x, %v;") } else { (".b32", "mov.b32 %x, %v;") };
    let got = lanes_of(
        Size::threads(32),
        &format!(".{space} .align 8 .b8 cell[8]; .{space} .align 4 .b8 seen[4];"),
        &format!(".reg {register} %v, %o; .reg .b32 %x; .reg .pred %p;"),
        &format!(
            "setp.eq.u32 %p, %t, 0; @%p st.{space}.b{size} [cell], {start:#x}; @%p st.{space}.u32 [seen], 0; bar.sync 0; {operand}
             atom.{space}.{form}; {store} red.{space}.add.u32 [seen], %x; bar.sync 0; ld.{space}.b{size} %v, [cell]; {store}
             mov.u32 %d, %x; setp.eq.u32 %p, %t, 1; @%p ld.{space}.u32 %d, [seen];",
            size = if wide { 64 } else { 32 }
        ),
    );
    (got[1], got[0])
}

/// 9.7.12.4 `atom`, 9.7.12.5 `red`.
#[test]
fn atomics() {
    let minus = |x: u32| x.wrapping_neg();
    for space in ["global", "shared"] {
        let word = |form: &str, start: u64| atomic(space, "u32", form, start, "mov.b32 %o, %t;");
        assert_eq!(word("add.u32 %v, [cell], 2", 10), ((0..32).map(|i| 10 + 2 * i).sum(), 74), "{space}");
        assert_eq!(word("add.s32 %v, [cell], -1", 0), (minus(496), minus(32)));
        assert_eq!(word("min.u32 %v, [cell], %o", 40).1, 0);
        assert_eq!(word("max.u32 %v, [cell], %o", 7).1, 31);
        assert_eq!(word("min.s32 %v, [cell], -9", 7), (7 + minus(9 * 31), minus(9)));
        assert_eq!(word("max.s32 %v, [cell], 3", 0xffff_fff0).1, 3);
        assert_eq!(word("and.b32 %v, [cell], 0xf0", 0xff).1, 0xf0);
        assert_eq!(word("or.b32 %v, [cell], 0xf0", 0x0f).1, 0xff);
        assert_eq!(word("xor.b32 %v, [cell], 3", 5), (16 * 5 + 16 * 6, 5));
        assert_eq!(word("exch.b32 %v, [cell], 7", 100), (100 + 31 * 7, 7));
        // inc counts 0 … 5 and begins again; dec counts down from 5.
        assert_eq!(word("inc.u32 %v, [cell], 5", 0).1, 32 % 6);
        assert_eq!(word("dec.u32 %v, [cell], 5", 0).1, 6 - 32 % 6);
        assert_eq!(word("cas.b32 %v, [cell], 9, 11", 9), (9 + 31 * 11, 11));
        // Sums of 32 halves of 1.0: 32.0.
        assert_eq!(word("add.f32 %v, [cell], 0f3F800000", 0).1, 32f32.to_bits());
        assert_eq!(atomic(space, "u32", "add.noftz.f16x2 %v, [cell], %o", 0, "mov.b32 %o, 0x3c004000;").1, 0x5000_5400);
        assert_eq!(atomic(space, "b64", "add.u64 %v, [cell], 3", 1 << 40, "").1, 96);
        assert_eq!(atomic(space, "b64", "cas.b64 %v, [cell], 5, 6", 5, ""), (5 + 31 * 6, 6));
        assert_eq!(atomic(space, "b64", "max.s64 %v, [cell], -3", u64::MAX << 40, "").1, minus(3));
        assert_eq!(atomic(space, "b64", "add.f64 %v, [cell], 0d3FF0000000000000", 0, "").1, 0);
    }
}

/// Blocks on all threads of the CPU count together.
#[test]
fn atomics_of_many_blocks() {
    let mut device = device();
    let out = device.heap.allocate(4, "out", 0).unwrap();
    device.heap.write(out, &[0; 4]).unwrap();
    let source = common::module("red.global.add.u32 [%out], 1;");
    execute_on(&mut device, &source, Size { blocks: 300, threads: 96, dynamic_shared: 0 }, &out.to_le_bytes()).result.unwrap();
    let mut sum = [0; 4];
    device.heap.read(out, &mut sum).unwrap();
    assert_eq!(u32::from_le_bytes(sum), 300 * 96);
}

#[test]
fn dynamic_shared_memory_follows_the_static() {
    let got = lanes_of(
        Size { blocks: 1, threads: 32, dynamic_shared: 128 },
        ".shared .align 4 .b8 fixed[12]; .extern .shared .align 16 .b8 dynamic[];",
        ".reg .b32 %a, %b; .reg .b64 %l;",
        "shl.b32 %a, %t, 2; mov.u32 %b, dynamic; add.u32 %b, %b, %a; st.shared.u32 [%b], %t; st.shared.u32 [fixed+8], 5; bar.warp.sync 0xffffffff;
         mov.u64 %l, dynamic; ld.shared.u32 %d, [%l+28]; ld.shared.u32 %a, [dynamic+4]; mad.lo.u32 %d, %d, 10, %a;",
    );
    assert_eq!(got, vec![71; 32]);
}

/// 9.7.9.25 `cp.async`: what was copied is there after the wait, and bytes beyond the source are zero.
#[test]
fn asynchronous_copies() {
    let got = lanes_of(
        Size::threads(1),
        ".global .align 16 .b8 source[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
         .shared .align 16 .b8 target[48];",
        ".reg .b64 %s; .reg .b32 %a, %n;",
        "mov.u64 %s, source; mov.u32 %a, target; mov.u32 %n, 3;
         cp.async.cg.shared.global [%a], [%s], 16; cp.async.commit_group;
         cp.async.ca.shared.global [%a+16], [%s+16], 4; cp.async.commit_group;
         cp.async.ca.shared.global.L2::128B [%a+32], [%s], 8, %n;
         cp.async.wait_group 1; ld.shared.u32 %d, [target+12]; cp.async.wait_group 0; ld.shared.u32 %n, [target+16]; add.u32 %d, %d, %n;
         cp.async.wait_all; ld.shared.u32 %n, [target+32]; add.u32 %d, %d, %n; ld.shared.u32 %n, [target+36]; add.u32 %d, %d, %n;",
    );
    assert_eq!(got, [0x100f_0e0du32.wrapping_add(0x1413_1211).wrapping_add(0x0003_0201)]);
}

#[test]
fn local_memory_belongs_to_the_thread() {
    let got = lanes(
        ".local .align 8 .b8 mine[16]; .reg .b64 %l; .reg .b32 %x;",
        "st.local.u32 [mine+4], %t; mov.u64 %l, mine; cvta.local.u64 %l, %l; ld.u32 %x, [%l+4]; mul.lo.u32 %d, %x, 3;",
    );
    assert_eq!(got, (0..32).map(|t| 3 * t).collect::<Vec<u32>>());
}
