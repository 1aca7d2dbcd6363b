//! How fast PTX is executed: millions of lane-instructions a second (an instruction of a warp counts once for each active lane).
//!
//! Instructions are counted in one run with counters; the timed runs have none. The median of the runs is shown.

#[path = "../../../host/benches/shared/arguments.rs"]
mod arguments;

use std::time::Instant;

use argh::FromArgs;
use arguments::arguments;
use cuda::device::{Device, LaunchSize, Module, Options, SHARED_BYTES};
use cuda::exec::Checks;

/// Measures how fast the emulator executes PTX.
#[derive(FromArgs)]
struct Arguments {
    /// timed runs of each kernel (default 5)
    #[argh(option, default = "5")]
    runs: usize,
}

/// A kernel with the parameter block (a, b, c, n) and its launch.
struct Case {
    name: &'static str,
    source: String,
    blocks: u32,
    threads: u32,
}

const HEAD: &str =
    ".version 7.0\n.target sm_61\n.address_size 64\n.visible .entry k(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n)\n{\n";
const ROWS: u32 = 256;

/// Eight independent chains of fused multiply-adds.
fn fma_chains() -> Case {
    let step: String = (0..8).map(|i| format!("fma.rn.f32 %f{i}, %f{i}, %x, %y;\n")).collect();
    let start: String = (0..8).map(|i| format!("mov.f32 %f{i}, 0f3F800000;\n")).collect();
    let sum: String = (1..8).map(|i| format!("add.f32 %f0, %f0, %f{i};\n")).collect();
    let source = format!(
        "{HEAD}.reg .f32 %f<8>, %x, %y; .reg .b32 %i, %t; .reg .b64 %p, %o; .reg .pred %q;
         {start} mov.f32 %x, 0f3F7FFFFF; mov.f32 %y, 0f33800000; mov.u32 %i, 0;
         LOOP: {step} add.u32 %i, %i, 1; setp.lt.u32 %q, %i, 1000; @%q bra LOOP;
         {sum} ld.param.u64 %p, [c]; mov.u32 %t, %tid.x; mul.wide.u32 %o, %t, 4; add.u64 %p, %p, %o; st.global.f32 [%p], %f0; ret;\n}}"
    );
    Case { name: "fma chains in registers", source, blocks: 64, threads: 128 }
}

/// c = a + b, one element for each thread.
fn addition() -> Case {
    let source = format!(
        "{HEAD}.reg .f32 %x, %y; .reg .b32 %i, %n, %t; .reg .b64 %a, %b, %c, %o; .reg .pred %q;
         mov.u32 %i, %ctaid.x; mov.u32 %n, %ntid.x; mov.u32 %t, %tid.x; mad.lo.u32 %i, %i, %n, %t; ld.param.u32 %n, [n];
         setp.ge.u32 %q, %i, %n; @%q bra END; mul.wide.u32 %o, %i, 4;
         ld.param.u64 %a, [a]; ld.param.u64 %b, [b]; ld.param.u64 %c, [c]; add.u64 %a, %a, %o; add.u64 %b, %b, %o; add.u64 %c, %c, %o;
         ld.global.f32 %x, [%a]; ld.global.f32 %y, [%b]; add.f32 %x, %x, %y; st.global.f32 [%c], %x; END: ret;\n}}"
    );
    Case { name: "addition of vectors", source, blocks: ROWS * ROWS / 256, threads: 256 }
}

/// c = aᵀ·b for matrices of 256 × 256: tiles of 64 × 64 in 256 threads, 4 × 4 sums in each, 16 rows at a time in shared memory.
fn matrix_product() -> Case {
    let sums = (0..16).map(|i| format!("%s{i}"));
    let clear: String = sums.map(|s| format!("mov.f32 {s}, 0f00000000;\n")).collect();
    let mut inner = String::new();
    for k in 0..16 {
        inner +=
            &format!("ld.shared.v4.f32 {{%u0, %u1, %u2, %u3}}, [%ra+{0}]; ld.shared.v4.f32 {{%v0, %v1, %v2, %v3}}, [%rb+{0}];\n", 256 * k);
        for i in 0..16 {
            inner += &format!("fma.rn.f32 %s{i}, %u{}, %v{}, %s{i};\n", i / 4, i % 4);
        }
    }
    let stores: String = (0..4)
        .map(|row| {
            let s = |i| format!("%s{}", 4 * row + i);
            format!("st.global.v4.f32 [%pc+{}], {{{}, {}, {}, {}}};\n", 4 * ROWS * row, s(0), s(1), s(2), s(3))
        })
        .collect();
    let source = format!(
        "{HEAD}.reg .f32 %s<16>, %u<4>, %v<4>; .reg .b32 %t, %x, %y, %bx, %by, %k, %ra, %rb, %wa, %wb; .reg .b64 %pa, %pb, %pc, %o; .reg .pred %q;
         .shared .align 16 .b8 ta[4096]; .shared .align 16 .b8 tb[4096];
         {clear} mov.u32 %t, %tid.x; and.b32 %x, %t, 15; shr.u32 %y, %t, 4;
         mov.u32 %bx, %ctaid.x; shr.u32 %by, %bx, 2; and.b32 %bx, %bx, 3; shl.b32 %bx, %bx, 6; shl.b32 %by, %by, 6;
         ld.param.u64 %pa, [a]; ld.param.u64 %pb, [b]; ld.param.u64 %pc, [c];
         mad.lo.u32 %k, %x, 4, %by; mad.lo.u32 %k, %y, {ROWS}, %k; mul.wide.u32 %o, %k, 4; add.u64 %pa, %pa, %o;
         mad.lo.u32 %k, %x, 4, %bx; mad.lo.u32 %k, %y, {ROWS}, %k; mul.wide.u32 %o, %k, 4; add.u64 %pb, %pb, %o;
         mov.u32 %wa, ta; mov.u32 %wb, tb; mad.lo.u32 %ra, %y, 16, %wa; mad.lo.u32 %rb, %x, 16, %wb; mad.lo.u32 %wa, %t, 16, %wa; mad.lo.u32 %wb, %t, 16, %wb;
         mov.u32 %k, 0;
         LOOP: ld.global.v4.f32 {{%u0, %u1, %u2, %u3}}, [%pa]; ld.global.v4.f32 {{%v0, %v1, %v2, %v3}}, [%pb];
         st.shared.v4.f32 [%wa], {{%u0, %u1, %u2, %u3}}; st.shared.v4.f32 [%wb], {{%v0, %v1, %v2, %v3}}; bar.sync 0;
         {inner} bar.sync 0; add.u64 %pa, %pa, {step}; add.u64 %pb, %pb, {step}; add.u32 %k, %k, 16; setp.lt.u32 %q, %k, {ROWS}; @%q bra LOOP;
         mad.lo.u32 %y, %y, 4, %by; mad.lo.u32 %x, %x, 4, %bx; mad.lo.u32 %k, %y, {ROWS}, %x; mul.wide.u32 %o, %k, 4; add.u64 %pc, %pc, %o;
         {stores} ret;\n}}",
        step = 16 * 4 * ROWS
    );
    Case { name: "matrix product, tiles in shared memory", source, blocks: 16, threads: 256 }
}

/// A device with the kernel and three matrices: (device, module, parameter block).
fn prepare(case: &Case, checks: Checks, profile: bool) -> (Device, Module, Vec<u8>) {
    let mut device = Device::new(Options { checks, profile, ..Options::default() });
    let module = device.load(&case.source, 0).expect("the kernel is PTX");
    let bytes = u64::from(4 * ROWS * ROWS);
    let values: Vec<u8> = (0..ROWS * ROWS).flat_map(|i| ((i % 17) as f32 - 8.0).to_le_bytes()).collect();
    let mut params = Vec::new();
    for name in ["a", "b", "c"] {
        let address = device.heap.allocate(bytes, name, 0).expect("there is enough memory");
        if name != "c" {
            device.heap.write(address, &values).expect("it fits");
        }
        params.extend(address.to_le_bytes());
    }
    params.extend((ROWS * ROWS).to_le_bytes());
    (device, module, params)
}

fn launch(case: &Case, (device, module, params): &mut (Device, Module, Vec<u8>)) -> (f64, u64) {
    let size = LaunchSize { grid: [case.blocks, 1, 1], block: [case.threads, 1, 1], dynamic_shared: 0, shared_limit: SHARED_BYTES };
    let start = Instant::now();
    let executed = device.launch(&module.kernels["k"], size, params).expect("the launch is right");
    executed.result.expect("the kernel has no fault");
    (start.elapsed().as_secs_f64(), executed.counters.lane_instructions())
}

fn main() {
    let arguments: Arguments = arguments();
    println!("{} threads, median of {} runs, in millions of lane-instructions a second", rayon::current_num_threads(), arguments.runs);
    println!("{:40} {:>14} {:>14} {:>18}", "", "all checks", "no checks", "lane-instructions");
    for case in [fma_chains(), addition(), matrix_product()] {
        let all = Checks { races: true, unwritten: true };
        let none = Checks { races: false, unwritten: false };
        let (_, instructions) = launch(&case, &mut prepare(&case, all, true));
        let rate = |checks| {
            let mut prepared = prepare(&case, checks, false);
            let mut seconds: Vec<f64> = (0..arguments.runs.max(1)).map(|_| launch(&case, &mut prepared).0).collect();
            seconds.sort_by(f64::total_cmp);
            instructions as f64 / seconds[seconds.len() / 2] / 1e6
        };
        println!("{:40} {:14.0} {:14.0} {:18}", case.name, rate(all), rate(none), instructions);
    }
}
