//! Lanes that go different ways, exchange values, wait for each other and call functions (ISA manual 9.7.9.5, 9.7.11, 9.7.12).

mod common;

use common::{Size, lanes, lanes_of};

/// The word of each lane.
fn by_lane(f: impl Fn(u32) -> u32) -> Vec<u32> {
    (0..32).map(f).collect()
}

#[test]
fn branches_reconverge() {
    // Odd lanes add 1, even lanes 2; lanes above 15 add 10 inside; then all vote together.
    let got = lanes(
        ".reg .pred %p, %q; .reg .b32 %x, %all;",
        "and.b32 %x, %t, 1; setp.eq.u32 %p, %x, 1; @%p bra ODD;
         mov.u32 %d, 2; setp.gt.u32 %q, %t, 15; @!%q bra NEXT; add.u32 %d, %d, 10; NEXT: bra.uni JOIN;
         ODD: mov.u32 %d, 1;
         JOIN: activemask.b32 %all; shr.u32 %all, %all, 31; mad.lo.u32 %d, %all, 100, %d;",
    );
    assert_eq!(got, by_lane(|t| 100 + if t % 2 == 1 { 1 } else { 2 + if t > 15 { 10 } else { 0 } }));
}

#[test]
fn loops_end_lane_by_lane() {
    let got = lanes(
        ".reg .pred %p; .reg .b32 %i, %all;",
        "mov.u32 %i, 0; LOOP: setp.ge.u32 %p, %i, %t; @%p bra DONE; add.u32 %i, %i, 1; add.u32 %d, %d, %i; bra LOOP;
         DONE: activemask.b32 %all; popc.b32 %all, %all; mul.lo.u32 %all, %all, 1000; add.u32 %d, %d, %all;",
    );
    assert_eq!(got, by_lane(|t| t * (t + 1) / 2 + 32000));
}

/// Threads that have ended count neither for a join nor for a barrier.
#[test]
fn threads_that_end_are_not_waited_for() {
    let got = lanes(
        ".reg .pred %p, %q;",
        "setp.ge.u32 %p, %t, 4; @%p bra ON; setp.lt.u32 %q, %t, 2; @%q mov.u32 %d, 1; @%q bra ON; mov.u32 %d, 2; bra LAST;
         ON: setp.gt.u32 %p, %t, 27; @%p mov.u32 %d, 5; LAST: bar.sync 0; activemask.b32 %t; mov.u32 %t, %tid.x;",
    );
    assert_eq!(got, by_lane(|t| [1, 1, 2, 2].get(t as usize).copied().unwrap_or(if t > 27 { 5 } else { 0 })));
    let ended = lanes(
        ".reg .pred %p; .reg .b32 %all;",
        "setp.lt.u32 %p, %t, 30; @!%p bra LEAVE; bar.sync 0; activemask.b32 %d; bra LAST; LEAVE: exit; LAST:",
    );
    assert_eq!(ended, by_lane(|t| if t < 30 { 0x3fff_ffff } else { 0 }));
}

#[test]
fn branch_tables() {
    let got = lanes(
        ".reg .b32 %x;",
        "TARGETS: .branchtargets A, B, C;
         rem.u32 %x, %t, 3; brx.idx %x, TARGETS;
         A: mov.u32 %d, 7; bra JOIN; B: mov.u32 %d, 8; bra JOIN; C: mov.u32 %d, 9;
         JOIN: add.u32 %d, %d, %x;",
    );
    assert_eq!(got, by_lane(|t| 7 + 2 * (t % 3)));
}

const FUNCTIONS: &str = "
.func (.param .b32 result) square_plus(.param .b32 x, .param .align 8 .b8 pair[8])
{
    .reg .b32 %x, %a, %b;
    ld.param.b32 %x, [x];
    ld.param.b32 %a, [pair];
    ld.param.b32 %b, [pair+4];
    mad.lo.u32 %x, %x, %x, %a;
    add.u32 %x, %x, %b;
    st.param.b32 [result], %x;
    ret;
}
.func (.param .b32 result) early(.param .b32 x)
{
    .reg .b32 %x;
    .reg .pred %p;
    ld.param.b32 %x, [x];
    setp.gt.u32 %p, %x, 9;
    @!%p bra SMALL;
    mov.u32 %x, 9;
    st.param.b32 [result], %x;
    ret;
SMALL:
    st.param.b32 [result], %x;
    ret;
}
";

#[test]
fn calls_pass_arguments_and_results() {
    let got = lanes_of(
        Size::threads(32),
        FUNCTIONS,
        ".reg .pred %p; .reg .b32 %r;",
        "setp.lt.u32 %p, %t, 20; @!%p bra SKIP;
         { .param .b32 p0; .param .align 8 .b8 p1[8]; .param .b32 r0;
           st.param.b32 [p0], %t; st.param.b32 [p1], 100; st.param.b32 [p1+4], 1000;
           call.uni (r0), square_plus, (p0, p1);
           ld.param.b32 %d, [r0]; }
         SKIP:
         { .param .b32 p0; .param .b32 r0; st.param.b32 [p0], %t; call.uni (r0), early, (p0); ld.param.b32 %r, [r0]; }
         mad.lo.u32 %d, %r, 10000, %d; activemask.b32 %r; shr.u32 %r, %r, 31; mad.lo.u32 %d, %r, 1000000, %d;",
    );
    assert_eq!(got, by_lane(|t| 1_000_000 + t.min(9) * 10_000 + if t < 20 { t * t + 1100 } else { 0 }));
}

#[test]
fn calls_through_pointers() {
    let functions = "
.func (.param .b32 r) twice(.param .b32 x) { .reg .b32 %x; ld.param.b32 %x, [x]; shl.b32 %x, %x, 1; st.param.b32 [r], %x; ret; }
.func (.param .b32 r) next(.param .b32 x) { .reg .b32 %x; ld.param.b32 %x, [x]; add.u32 %x, %x, 1; st.param.b32 [r], %x; ret; }
.global .align 8 .u64 table[2] = {twice, next};
";
    let got = lanes_of(
        Size::threads(32),
        functions,
        ".reg .b32 %x; .reg .b64 %f, %table;",
        "and.b32 %x, %t, 1; mul.wide.u32 %f, %x, 8; mov.u64 %table, table; add.u64 %f, %table, %f; ld.global.u64 %f, [%f];
         { .param .b32 p0; .param .b32 r0; st.param.b32 [p0], %t;
           prototype: .callprototype (.param .b32 _) _ (.param .b32 _);
           call (r0), %f, (p0), prototype; ld.param.b32 %d, [r0]; }",
    );
    assert_eq!(got, by_lane(|t| if t % 2 == 0 { 2 * t } else { t + 1 }));
}

#[test]
fn shuffles() {
    let shuffle = |form: &str| {
        lanes(".reg .pred %p; .reg .b32 %v, %ok;", &format!("add.u32 %v, %t, 100; {form} selp.u32 %ok, 1000, 0, %p; add.u32 %d, %d, %ok;"))
    };
    let sync = "0xffffffff;";
    assert_eq!(shuffle(&format!("shfl.sync.bfly.b32 %d|%p, %v, 5, 31, {sync}")), by_lane(|t| 1100 + (t ^ 5)));
    assert_eq!(shuffle(&format!("shfl.sync.up.b32 %d|%p, %v, 3, 0, {sync}")), by_lane(|t| if t >= 3 { 1097 + t } else { 100 + t }));
    assert_eq!(shuffle(&format!("shfl.sync.down.b32 %d|%p, %v, 3, 31, {sync}")), by_lane(|t| if t < 29 { 1103 + t } else { 100 + t }));
    assert_eq!(shuffle(&format!("shfl.sync.idx.b32 %d|%p, %v, 9, 31, {sync}")), by_lane(|_| 1109));
    // Segments of eight lanes: the mask in bits 8 to 12 of c is 0b11000.
    assert_eq!(shuffle(&format!("shfl.sync.idx.b32 %d|%p, %v, 2, 0x181f, {sync}")), by_lane(|t| 1102 + (t & 24)));
    assert_eq!(
        shuffle(&format!("shfl.sync.down.b32 %d|%p, %v, 4, 0x181f, {sync}")),
        by_lane(|t| if t % 8 < 4 { 1104 + t } else { 100 + t })
    );
}

#[test]
fn votes_and_matches() {
    let got = |code: &str| lanes(".reg .pred %p, %q; .reg .b32 %x; .reg .b64 %l;", &format!("setp.lt.u32 %p, %t, 8; {code}"));
    assert_eq!(got("vote.sync.ballot.b32 %d, %p, 0xffffffff;"), vec![0xff; 32]);
    assert_eq!(got("vote.sync.ballot.b32 %d, !%p, 0xffffffff;"), vec![0xffff_ff00; 32]);
    assert_eq!(got("vote.sync.any.pred %q, %p, 0xffffffff; selp.u32 %d, 1, 0, %q;"), vec![1; 32]);
    assert_eq!(got("vote.sync.all.pred %q, %p, 0xffffffff; selp.u32 %d, 1, 0, %q;"), vec![0; 32]);
    assert_eq!(got("vote.sync.uni.pred %q, %p, 0xffffffff; selp.u32 %d, 1, 0, %q;"), vec![0; 32]);
    assert_eq!(got("@%p bra IN; bra OUT; IN: vote.sync.all.pred %q, %p, 0xff; selp.u32 %d, 1, 0, %q; OUT:"), by_lane(|t| u32::from(t < 8)));
    let thirds = by_lane(|t| (0..32).filter(|other| other % 3 == t % 3).fold(0, |mask, other| mask | 1 << other));
    assert_eq!(got("rem.u32 %x, %t, 3; match.any.sync.b32 %d, %x, 0xffffffff;"), thirds);
    assert_eq!(got("rem.u32 %x, %t, 3; cvt.u64.u32 %l, %x; match.any.sync.b64 %d, %l, 0xffffffff;"), thirds);
    assert_eq!(got("mov.u32 %x, 5; match.all.sync.b32 %d|%q, %x, 0xffffffff;"), vec![u32::MAX; 32]);
    assert_eq!(got("match.all.sync.b32 %d|%q, %t, 0xffffffff; @%q mov.u32 %d, 7;"), vec![0; 32]);
    assert_eq!(got("redux.sync.add.u32 %d, %t, 0xffffffff;"), vec![496; 32]);
    assert_eq!(got("sub.u32 %x, %t, 9; redux.sync.min.s32 %d, %x, 0xffffffff;"), vec![-9i32 as u32; 32]);
    assert_eq!(got("redux.sync.xor.b32 %d, %t, 0xffffffff;"), vec![0; 32]);
    assert_eq!(got("elect.sync %x|%q, 0xffffffff; selp.u32 %d, 5, %x, %q;"), by_lane(|t| if t == 0 { 5 } else { 0 }));
}

/// On sm_70 and later the lanes that a member mask names may come one group after the other.
#[test]
fn lanes_wait_for_the_members_of_a_mask() {
    let got = lanes(
        ".reg .pred %p; .reg .b32 %v;",
        "setp.lt.u32 %p, %t, 16; @%p bra LOW; add.u32 %v, %t, 50; bar.warp.sync 0xffffffff; bra JOIN;
         LOW: add.u32 %v, %t, 70; bar.warp.sync 0xffffffff;
         JOIN: shfl.sync.bfly.b32 %d, %v, 16, 31, 0xffffffff;",
    );
    assert_eq!(got, by_lane(|t| (t ^ 16) + if t < 16 { 50 } else { 70 }));
}

/// Lanes with different member masks may execute one instruction together.
#[test]
fn member_masks_may_differ_from_lane_to_lane() {
    let got = lanes(
        ".reg .b32 %m, %s;",
        "shr.u32 %s, %t, 3; shl.b32 %s, %s, 3; shl.b32 %m, 255, %s; shfl.sync.down.b32 %d, %t, 4, 0x181f, %m;
         redux.sync.add.u32 %s, 1, %m; mad.lo.u32 %d, %s, 100, %d;",
    );
    assert_eq!(got, by_lane(|t| 800 + if t % 8 < 4 { t + 4 } else { t }));
}

/// A lane may wait in a loop for another lane of its warp.
#[test]
fn lanes_make_progress_independently() {
    let got = lanes_of(
        Size::threads(32),
        ".shared .align 4 .u32 flag;",
        ".reg .pred %p; .reg .b32 %f;",
        "setp.eq.u32 %p, %t, 0; @%p st.volatile.shared.u32 [flag], 0; bar.warp.sync 0xffffffff;
         setp.eq.u32 %p, %t, 31; @%p bra SET;
         WAIT: ld.volatile.shared.u32 %f, [flag]; setp.eq.u32 %p, %f, 0; @%p bra WAIT; bra JOIN;
         SET: st.volatile.shared.u32 [flag], 1;
         JOIN: mov.u32 %d, 3;",
    );
    assert_eq!(got, vec![3; 32]);
}

#[test]
fn special_registers() {
    let size = Size { blocks: 3, threads: 40, dynamic_shared: 256 };
    let special = |name: &str| lanes_of(size, "", "", &format!("mov.u32 %d, {name};"));
    let expect = |f: &dyn Fn(u32, u32) -> u32| (0..120).map(|i| f(i / 40, i % 40)).collect::<Vec<u32>>();
    assert_eq!(special("%tid.x"), expect(&|_, t| t));
    assert_eq!(special("%ctaid.x"), expect(&|b, _| b));
    assert_eq!(special("%nctaid.x"), expect(&|_, _| 3));
    assert_eq!(special("%ntid.x"), expect(&|_, _| 40));
    assert_eq!(special("%laneid"), expect(&|_, t| t % 32));
    assert_eq!(special("%warpid"), expect(&|_, t| t / 32));
    assert_eq!(special("%nwarpid"), expect(&|_, _| 2));
    assert_eq!(special("%lanemask_eq"), expect(&|_, t| 1 << (t % 32)));
    assert_eq!(special("%lanemask_lt"), expect(&|_, t| (1 << (t % 32)) - 1));
    assert_eq!(special("%lanemask_le"), expect(&|_, t| u32::MAX >> (31 - t % 32)));
    assert_eq!(special("%lanemask_gt"), expect(&|_, t| !(u32::MAX >> (31 - t % 32))));
    assert_eq!(special("%lanemask_ge"), expect(&|_, t| u32::MAX << (t % 32)));
    assert_eq!(special("%dynamic_smem_size"), expect(&|_, _| 256));
}

#[test]
fn clocks_go_forward() {
    let got = lanes(
        ".reg .b32 %x, %y; .reg .b64 %l, %m; .reg .pred %p;",
        "mov.u64 %l, %clock64; mov.u32 %x, %clock; nanosleep.u32 100; mov.u64 %m, %globaltimer; setp.gt.u64 %p, %m, 0; mov.u64 %m, %clock64;
         setp.ge.and.u64 %p, %m, %l, %p; selp.u32 %d, 1, 0, %p;",
    );
    assert_eq!(got, vec![1; 32]);
}

#[test]
fn barriers_order_the_warps_of_a_block() {
    let size = Size::threads(128);
    let reversed = lanes_of(
        size,
        ".shared .align 4 .b8 buffer[512];",
        ".reg .b32 %a, %v;",
        "shl.b32 %a, %t, 2; mov.u32 %v, buffer; add.u32 %a, %v, %a; st.shared.u32 [%a], %t; bar.sync 0;
         shl.b32 %a, %t, 2; sub.u32 %a, 508, %a; add.u32 %a, %v, %a; ld.shared.u32 %d, [%a];",
    );
    assert_eq!(reversed, (0..128).rev().collect::<Vec<u32>>());
    let reduce = |code: &str| lanes_of(size, "", ".reg .pred %p, %q;", &format!("setp.lt.u32 %p, %t, 50; {code}"));
    assert_eq!(reduce("bar.red.popc.u32 %d, 0, %p;"), vec![50; 128]);
    assert_eq!(reduce("bar.red.popc.u32 %d, 0, !%p;"), vec![78; 128]);
    assert_eq!(reduce("barrier.red.or.pred %q, 1, %p; selp.u32 %d, 1, 0, %q;"), vec![1; 128]);
    assert_eq!(reduce("bar.red.and.pred %q, 1, %p; selp.u32 %d, 1, 0, %q;"), vec![0; 128]);
}

/// Warp 0 produces, warp 1 consumes, by way of a barrier of 64 threads; warp 2 goes its own way.
#[test]
fn named_barriers_order_some_warps() {
    let got = lanes_of(
        Size::threads(96),
        ".shared .align 4 .b8 buffer[128];",
        ".reg .pred %p, %q; .reg .b32 %w, %a;",
        "and.b32 %a, %t, 31; shl.b32 %a, %a, 2; mov.u32 %w, buffer; add.u32 %a, %w, %a;
         setp.lt.u32 %p, %t, 32; setp.ge.u32 %q, %t, 64; @%q bra END; @!%p bra CONSUME;
         st.shared.u32 [%a], %t; bar.arrive 1, 64; bra END;
         CONSUME: bar.sync 1, 64; ld.shared.u32 %d, [%a];
         END:",
    );
    assert_eq!(got, (0..96).map(|t| if (32..64).contains(&t) { t - 32 } else { 0 }).collect::<Vec<u32>>());
}
