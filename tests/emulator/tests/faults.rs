//! Each check finds a planted bug, and says where it is; the same kernel without the bug passes.

mod common;

use common::{Size, device, execute, execute_on, module, module_with};
use cuda::exec::{FaultKind, LaunchFault};

fn run(size: Size, before: &str, body: &str) -> Result<Vec<u32>, Box<LaunchFault>> {
    execute(&module_with(before, body), size, 64)
}

/// The fault of a kernel, after checking its kind and a part of its message.
fn fault_of(size: Size, before: &str, body: &str, kind: FaultKind, message: &str) -> Box<LaunchFault> {
    let fault = run(size, before, body).expect_err("the bug is found");
    assert_eq!(fault.kind, kind, "{fault}");
    assert!(fault.message.contains(message), "{fault}\nexpected: {message}");
    fault
}

const TID: &str = ".reg .b32 %t, %a, %v; .reg .b64 %l; .reg .pred %p; mov.u32 %t, %tid.x; shl.b32 %a, %t, 2;";

#[test]
fn global_out_of_bounds() {
    // 64 words at `out`, one for each thread: thread 64 is outside.
    let body = |threads: u32| {
        let code = format!("{TID}\nmul.wide.u32 %l, %t, 4; add.u64 %l, %out, %l;\nst.global.u32 [%l], %t;");
        run(Size::threads(threads), "", &code)
    };
    body(64).unwrap();
    let fault = body(65).unwrap_err();
    assert_eq!((fault.kind, fault.thread, fault.block, fault.kernel.as_str()), (FaultKind::IllegalAddress, [64, 0, 0], [0, 0, 0], "k"));
    assert_eq!(fault.line, 11);
    assert!(
        fault.message.contains("Store of 4 bytes") && fault.message.contains("0 bytes past the end of allocation #1 (out, 256 bytes"),
        "{fault}"
    );
    let null =
        fault_of(Size::threads(1), "", &format!("{TID} mov.u64 %l, 0; ld.global.u32 %v, [%l];"), FaultKind::IllegalAddress, "at 0x0");
    assert!(null.message.contains("before allocation #1"), "{null}");
}

#[test]
fn shared_out_of_bounds() {
    let before = ".shared .align 4 .b8 s[64];";
    let code = |last: u32| format!("{TID} mov.u32 %v, s; add.u32 %a, %v, %a; setp.lt.u32 %p, %t, {last}; @%p st.shared.u32 [%a], %t;");
    run(Size::threads(32), before, &code(16)).unwrap();
    let fault = fault_of(Size::threads(32), before, &code(17), FaultKind::IllegalAddress, "64 bytes into shared memory, which has 64");
    assert_eq!(fault.thread, [16, 0, 0]);
}

#[test]
fn misaligned_vectors() {
    let code = |offset: u32| format!("{TID} ld.global.v4.u32 {{%t, %a, %v, %t}}, [%out+{offset}];");
    run(Size::threads(1), "", &code(16)).unwrap();
    fault_of(Size::threads(1), "", &code(8), FaultKind::Misaligned, "access of 16 bytes");
    fault_of(Size::threads(1), "", &format!("{TID} ld.global.u32 %v, [%out+2];"), FaultKind::Misaligned, "no multiple of 4");
}

#[test]
fn unwritten_global_memory() {
    let mut device = device();
    let buffer = device.heap.allocate(64, "buffer", 0).unwrap();
    device.heap.write(buffer, &[1; 32]).unwrap();
    let source = |offset: u32| module(&format!("{TID} ld.global.u32 %v, [%out+{offset}];"));
    execute_on(&mut device, &source(28), Size::threads(1), &buffer.to_le_bytes()).result.unwrap();
    let fault = execute_on(&mut device, &source(32), Size::threads(1), &buffer.to_le_bytes()).result.unwrap_err();
    assert_eq!(fault.kind, FaultKind::LaunchFailed);
    assert!(fault.message.contains("32 bytes in allocation #1 (buffer") && fault.message.contains("never written"), "{fault}");
    // A kernel's own store counts.
    let store = module(&format!("{TID} st.global.u32 [%out+32], 7; ld.global.u32 %v, [%out+32];"));
    execute_on(&mut device, &store, Size::threads(1), &buffer.to_le_bytes()).result.unwrap();
}

#[test]
fn unwritten_shared_memory() {
    let before = ".shared .align 4 .b8 s[64];";
    run(Size::threads(1), before, &format!("{TID} st.shared.u32 [s+4], 1; ld.shared.u32 %v, [s+4];")).unwrap();
    fault_of(
        Size::threads(1),
        before,
        &format!("{TID} ld.shared.u32 %v, [s+4];"),
        FaultKind::LaunchFailed,
        "shared memory at 0x4, which was never written",
    );
}

#[test]
fn races_between_warps() {
    let before = ".shared .align 4 .b8 s[512];";
    let code = |barrier: &str| {
        format!(
            "{TID} mov.u32 %v, s; add.u32 %a, %v, %a; st.shared.u32 [%a], %t; {barrier}
             xor.b32 %a, %t, 32; shl.b32 %a, %a, 2; add.u32 %a, %v, %a; ld.shared.u32 %v, [%a];"
        )
    };
    run(Size::threads(128), before, &code("bar.sync 0;")).unwrap();
    let fault = fault_of(Size::threads(128), before, &code(""), FaultKind::LaunchFailed, "");
    assert!(fault.message.contains("race") || fault.message.contains("never written"), "{fault}");
    // A missing barrier before the buffer is used again: warp 0 writes what warp 1 may not have read yet.
    let again = |barrier: &str| {
        code("bar.sync 0;") + &format!("{barrier} shl.b32 %a, %t, 2; mov.u32 %v, s; add.u32 %a, %v, %a; st.shared.u32 [%a], %a;")
    };
    run(Size::threads(128), before, &again("bar.sync 0;")).unwrap();
    fault_of(Size::threads(128), before, &again(""), FaultKind::LaunchFailed, "race in shared memory at 0x");
}

#[test]
fn races_in_a_warp() {
    let before = ".shared .align 4 .b8 s[128];";
    let code = |barrier: &str| {
        format!(
            "{TID} mov.u32 %v, s; add.u32 %a, %v, %a; st.shared.u32 [%a], %t; {barrier}
             xor.b32 %a, %t, 1; shl.b32 %a, %a, 2; add.u32 %a, %v, %a; ld.shared.u32 %v, [%a];"
        )
    };
    run(Size::threads(32), before, &code("bar.warp.sync 0xffffffff;")).unwrap();
    fault_of(Size::threads(32), before, &code(""), FaultKind::LaunchFailed, "warp 0 lane 1 has written it");
    // Different lanes write different values to one word; the same value is no race.
    fault_of(Size::threads(32), before, &format!("{TID} st.shared.u32 [s], %t;"), FaultKind::LaunchFailed, "race");
    run(Size::threads(32), before, &format!("{TID} st.shared.u32 [s], 5;")).unwrap();
}

#[test]
fn copies_that_are_not_waited_for() {
    let before = ".shared .align 16 .b8 s[16];";
    let code = |wait: &str| format!("{TID} cp.async.ca.shared.global [s], [%out], 4; {wait} ld.shared.u32 %v, [s];");
    run(Size::threads(1), before, &code("cp.async.wait_all;")).unwrap();
    fault_of(Size::threads(1), before, &code("cp.async.commit_group;"), FaultKind::LaunchFailed, "never written");
}

#[test]
fn barrier_divergence() {
    let code = |limit: u32| format!("{TID} setp.ge.u32 %p, %t, {limit}; @%p bra SKIP; bar.sync 0; SKIP:");
    run(Size::threads(64), "", &code(64)).unwrap();
    let fault = fault_of(Size::threads(64), "", &code(40), FaultKind::LaunchFailed, "barrier divergence");
    assert_eq!(fault.thread, [32, 0, 0]);
    // One warp waits at barrier 0, the other at barrier 1.
    fault_of(
        Size::threads(64),
        "",
        &format!("{TID} setp.ge.u32 %p, %t, 32; @%p bra ONE; bar.sync 0; bra END; ONE: bar.sync 1; END:"),
        FaultKind::LaunchFailed,
        "deadlock",
    );
}

#[test]
fn illegal_member_masks() {
    let code = |mask: &str| format!("{TID} setp.lt.u32 %p, %t, 8; @!%p bra END; shfl.sync.bfly.b32 %v, %t, 1, 31, {mask}; END:");
    run(Size::threads(32), "", &code("0xff")).unwrap();
    fault_of(Size::threads(32), "", &code("0x7f"), FaultKind::LaunchFailed, "member mask 0x0000007f does not fit");
    fault_of(Size::threads(32), "", &code("0x1ff"), FaultKind::LaunchFailed, "names lanes 0x00000100, which never come here");
}

#[test]
fn use_after_free() {
    let mut device = device();
    let buffer = device.heap.allocate(64, "buffer", 0).unwrap();
    device.heap.write(buffer, &[1; 64]).unwrap();
    let source = module(&format!("{TID} ld.global.u32 %v, [%out];"));
    execute_on(&mut device, &source, Size::threads(1), &buffer.to_le_bytes()).result.unwrap();
    device.heap.free(buffer).unwrap();
    let fault = execute_on(&mut device, &source, Size::threads(1), &buffer.to_le_bytes()).result.unwrap_err();
    assert_eq!(fault.kind, FaultKind::IllegalAddress);
    assert!(fault.message.contains("allocation #1 (64 bytes") && fault.message.contains("which was freed"), "{fault}");
}

#[test]
fn traps_and_wild_jumps() {
    fault_of(Size::threads(32), "", &format!("{TID} setp.eq.u32 %p, %t, 9; @%p trap;"), FaultKind::LaunchFailed, "trap");
    let call = "{ prototype: .callprototype _ (); call %l, (), prototype; }";
    fault_of(Size::threads(1), "", &format!("{TID} mov.u64 %l, 1234; {call}"), FaultKind::InvalidPc, "0x4d2, which is no function");
}

#[test]
fn a_launch_may_not_take_for_ever() {
    let options = cuda::device::Options { timeout: Some(std::time::Duration::ZERO), ..Default::default() };
    let mut device = cuda::device::Device::new(options);
    let fault = execute_on(&mut device, &module("LOOP: bra LOOP;"), Size::threads(32), &[0; 8]).result.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Timeout);
}

#[test]
fn heavier_checks_can_be_switched_off() {
    let mut options = cuda::device::Options::default();
    options.checks.races = false;
    options.checks.unwritten = false;
    let mut device = cuda::device::Device::new(options);
    let buffer = device.heap.allocate(64, "buffer", 0).unwrap();
    let body = format!("{TID} ld.global.u32 %v, [%out]; ld.shared.u32 %v, [s]; st.shared.u32 [s], %t;");
    execute_on(&mut device, &module_with(".shared .align 4 .b8 s[64];", &body), Size::threads(64), &buffer.to_le_bytes()).result.unwrap();
}

#[test]
fn wrong_launches_are_refused() {
    let mut device = device();
    let module = device.load(&module(""), 0).unwrap();
    let size = cuda::device::LaunchSize { grid: [1; 3], block: [32, 1, 1], dynamic_shared: 0, shared_limit: 1024 };
    let mut refused = |size, params: &[u8]| device.launch(&module.kernels["k"], size, params).unwrap_err().to_string();
    assert!(refused(size, &[0; 4]).contains("4 bytes of parameters: the kernel has 8"));
    assert!(refused(cuda::device::LaunchSize { block: [1025, 1, 1], ..size }, &[0; 8]).contains("at most 1024"));
    assert!(refused(cuda::device::LaunchSize { grid: [0, 1, 1], ..size }, &[0; 8]).contains("grid"));
    assert!(refused(cuda::device::LaunchSize { dynamic_shared: 2000, ..size }, &[0; 8]).contains("shared memory"));
}
