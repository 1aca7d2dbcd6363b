//! The counters of a launch.

mod common;

use common::{Size, device, execute_on, module};
use cuda::profile::Class;
use cuda::profile::Counters;

fn count(threads: u32, body: &str) -> Counters {
    let mut device = device();
    let out = device.heap.allocate(8192, "out", 0).unwrap();
    device.heap.fill(out, &[0], 8192).unwrap();
    let head = ".reg .b32 %t, %a, %v; .reg .b64 %l; .reg .f32 %f; .reg .pred %p; mov.u32 %t, %tid.x;";
    let executed = execute_on(&mut device, &module(&format!("{head} {body}")), Size::threads(threads), &out.to_le_bytes());
    executed.result.unwrap();
    executed.counters
}

#[test]
fn instructions_and_lanes() {
    let counters = count(40, "mov.f32 %f, 0f3F800000; setp.lt.u32 %p, %t, 4; @%p fma.rn.f32 %f, %f, %f, %f; fma.rn.f32 %f, %f, %f, %f;");
    // Two warps, of 32 and of 8 lanes; under the guard 4 lanes of the first.
    assert_eq!(counters.class(Class::Fma), (4, 44));
    assert_eq!(counters.class(Class::Integer), (2, 40));
    assert_eq!(counters.class(Class::Atomic), (0, 0));
}

#[test]
fn memory_requests() {
    let store = |stride: u32, width: &str| count(32, &format!("mul.wide.u32 %l, %t, {stride}; add.u64 %l, %out, %l; {width}"));
    let word = "st.global.u32 [%l], %t;";
    let requests = |counters: Counters| (counters.global_requests, counters.global_sectors);
    assert_eq!(requests(store(4, word)), (1, 4));
    assert_eq!(requests(store(128, word)), (1, 32));
    assert_eq!(requests(store(16, "st.global.v4.u32 [%l], {%t, %t, %t, %t};")), (1, 16));
    assert_eq!(requests(store(0, "red.global.add.u32 [%l], 1;")), (1, 1));
    let shared = |stride: u32| {
        let body = format!(".shared .align 4 .b8 s[4096]; mov.u32 %v, s; mad.lo.u32 %a, %t, {stride}, %v; st.shared.u32 [%a], %t;");
        let counters = count(32, &body);
        (counters.shared_requests, counters.bank_conflicts)
    };
    assert_eq!((shared(4), shared(8), shared(128)), ((1, 0), (1, 1), (1, 31)));
}

/// The eight rows of a matrix are served in one pass if they lie in different banks.
#[test]
fn requests_of_matrices() {
    let load = |stride: u32| {
        let body = format!(
            ".shared .align 16 .b8 s[4096]; .reg .b32 %m<4>; mov.u32 %v, s; mad.lo.u32 %a, %t, {stride}, %v;
             st.shared.v4.u32 [%a], {{%t, %t, %t, %t}}; bar.sync 0;
             ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{%m0, %m1, %m2, %m3}}, [%a];"
        );
        let counters = count(32, &body);
        (counters.shared_requests, counters.bank_conflicts)
    };
    // The store goes to the same places, eight lanes at a time.
    assert_eq!((load(16), load(48), load(32), load(128)), ((2, 0), (2, 0), (2, 2 * 4), (2, 2 * 4 * 7)));
}

#[test]
fn the_table_names_what_was_executed() {
    let table = count(32, "mul.wide.u32 %l, %t, 4; add.u64 %l, %out, %l; st.global.u32 [%l], %t;").to_string();
    assert!(table.contains("integer") && table.contains("4 sectors") && !table.contains("fma"), "{table}");
}
