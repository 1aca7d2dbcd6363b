//! What the assembler makes of kernels: registers, shared memory, spills, occupancy, and the share of products in the main loop.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::compile::Compiled;
use crate::listing::main_loop;
use crate::ptx::Kernel;
use crate::toolchain::Toolchain;

/// What `ptxas -v` says of a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of its stack frame.
    pub stack: u32,
    /// Bytes stored and loaded for want of registers.
    pub spills: u32,
}

/// What a multiprocessor of an architecture holds (CUDA C Programming Guide, table "Technical Specifications per Compute Capability").
struct Processor {
    arch: &'static str,
    warps: u32,
    blocks: u32,
    shared: u32,
    /// Shared bytes that the system takes of each block.
    reserved: u32,
}

const PROCESSORS: [Processor; 7] = [
    Processor { arch: "sm_61", warps: 64, blocks: 32, shared: 96 << 10, reserved: 0 },
    Processor { arch: "sm_70", warps: 64, blocks: 32, shared: 96 << 10, reserved: 0 },
    Processor { arch: "sm_75", warps: 32, blocks: 16, shared: 64 << 10, reserved: 0 },
    Processor { arch: "sm_80", warps: 64, blocks: 32, shared: 164 << 10, reserved: 1 << 10 },
    Processor { arch: "sm_86", warps: 48, blocks: 16, shared: 100 << 10, reserved: 1 << 10 },
    Processor { arch: "sm_89", warps: 48, blocks: 24, shared: 100 << 10, reserved: 1 << 10 },
    Processor { arch: "sm_90", warps: 64, blocks: 32, shared: 228 << 10, reserved: 1 << 10 },
];

/// Registers of a multiprocessor, and how many a warp takes at least at a time; both the same from sm_61 to sm_90.
const REGISTERS: u32 = 64 << 10;
const REGISTER_UNIT: u32 = 256;

/// Assembles a kernel's PTX file; returns what it says of the kernel. Where a log beside the cubin tells it, the file was assembled before.
pub fn assemble(tools: &Toolchain, arch: &str, ptx: &Path, cubin: &Path) -> Result<Usage, String> {
    let log = cubin.with_extension("log");
    if let Ok(text) = fs::read_to_string(&log) {
        return Ok(parse_usage(&text));
    }
    let text = run_ptxas(tools, arch, ptx, cubin)?;
    fs::write(&log, &text).map_err(|error| format!("{}: {error}", log.display()))?;
    Ok(parse_usage(&text))
}

/// Assembles an architecture's PTX file, all kernels in one, unless that was done before.
pub fn assemble_all(tools: &Toolchain, arch: &str, ptx: &Path, cubin: &Path) -> Result<(), String> {
    let time = |file: &Path| fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    if time(cubin).is_some_and(|made| time(ptx).is_some_and(|changed| changed < made)) {
        return Ok(());
    }
    let part = cubin.with_extension("part");
    run_ptxas(tools, arch, ptx, &part)?;
    fs::rename(&part, cubin).map_err(|error| format!("{}: {error}", cubin.display()))
}

/// What the assembler says; an error if it warns.
fn run_ptxas(tools: &Toolchain, arch: &str, ptx: &Path, cubin: &Path) -> Result<String, String> {
    let output = Command::new(&tools.ptxas).args(["-v", &format!("-arch={arch}"), "-o"]).arg(cubin).arg(ptx).output();
    let output = output.map_err(|error| format!("running {}: {error}", tools.ptxas.display()))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("ptxas refuses {}:\n{text}", ptx.display()));
    }
    // It warns of unresolved symbols, and then takes zeros for them.
    if text.to_lowercase().contains("warning") {
        return Err(format!("ptxas warns of {}:\n{text}", ptx.display()));
    }
    Ok(text)
}

fn parse_usage(text: &str) -> Usage {
    let number = |line: &str, before: &str| line.split(before).next().and_then(|part| part.split_whitespace().last()?.parse::<u32>().ok());
    let mut usage = Usage::default();
    for line in text.lines() {
        if line.contains("bytes stack frame") {
            usage.stack = number(line, " bytes stack frame").unwrap_or_default();
            usage.spills = ["stores", "loads"].iter().filter_map(|way| number(line, &format!(" bytes spill {way}"))).sum();
        }
        if line.contains("Used ") {
            usage.registers = number(line, " registers").unwrap_or_default();
        }
    }
    usage
}

/// Spills and a stack frame, which fail a build.
pub fn fault(name: &str, usage: &Usage) -> Option<String> {
    let bad = usage.spills + usage.stack > 0;
    bad.then(|| format!("{name}: {} bytes of stack frame, {} bytes of spills", usage.stack, usage.spills))
}

/// The share of a multiprocessor's warps that a kernel can fill.
fn occupancy(arch: &str, kernel: &Kernel, usage: &Usage) -> Option<f64> {
    let processor = PROCESSORS.iter().find(|processor| processor.arch == arch)?;
    let warps = kernel.threads.div_ceil(32);
    let by_registers = REGISTERS / ((usage.registers * 32).next_multiple_of(REGISTER_UNIT).max(1) * warps);
    let by_shared = processor.shared / (kernel.shared + processor.reserved).max(1);
    let blocks = by_registers.min(by_shared).min(processor.blocks).min(processor.warps / warps);
    Some(f64::from(blocks * warps) / f64::from(processor.warps))
}

/// Prints the table of one architecture.
pub fn print(tools: &Toolchain, arch: &str, kernels: &[Compiled]) {
    let sass = |cubin: &Path| {
        let output = Command::new(tools.nvdisasm.as_ref()?).arg("-c").arg(cubin).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let listings: Option<Vec<_>> = kernels.iter().map(|compiled| sass(&compiled.cubin)).collect();
    let from = if listings.is_some() { "SASS" } else { "PTX: nvdisasm does not read this architecture or is not there" };
    println!("\n{arch}, loops from {from}");
    println!("{:36} {:>7} {:>9} {:>6} {:>7} {:>9}  main loop", "kernel", "threads", "registers", "shared", "spills", "occupancy");
    for (i, Compiled { kernel, ptx, usage, .. }) in kernels.iter().enumerate() {
        let occupancy = occupancy(arch, kernel, usage).map_or("?".to_owned(), |share| format!("{:.0} %", 100.0 * share));
        let body = listings.as_ref().map_or_else(|| ptx_body(ptx, &kernel.name), |listings| sass_body(&listings[i], &kernel.name));
        let products = body.and_then(main_loop).map_or(String::new(), |found| {
            let share = 100.0 * found.products as f64 / found.instructions as f64;
            let adds = if found.multiply_adds > found.products {
                format!(", {} multiply-adds a lane", found.multiply_adds)
            } else {
                String::new()
            };
            format!("{} of {} are products: {share:.0} %{adds}", found.products, found.instructions)
        });
        println!(
            "{:36} {:>7} {:>9} {:>6} {:>7} {:>9}  {products}",
            kernel.name, kernel.threads, usage.registers, kernel.shared, usage.spills, occupancy
        );
    }
}

fn sass_body<'a>(sass: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = sass.split_once(&format!("\n.text.{name}:"))?;
    rest.split("\n//------").next()
}

/// A kernel in PTX, from its parameters on.
pub fn ptx_body<'a>(ptx: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = ptx.split_once(&format!(".entry {name}("))?;
    rest.split("\n}").next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_from_what_ptxas_prints() {
        let text = "ptxas info    : 0 bytes gmem\nptxas info    : Compiling entry function 'add' for 'sm_61'\nptxas info    : Function properties for add\n    16 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads\nptxas info    : Used 22 registers, used 0 barriers, 348 bytes cmem[0]\n";
        let usage = parse_usage(text);
        assert_eq!(usage, Usage { registers: 22, stack: 16, spills: 12 });
        assert!(fault("add", &usage).is_some());
    }

    #[test]
    fn occupancy_is_bound_by_the_scarcest() {
        let kernel = Kernel { name: String::new(), parameters: Vec::new(), threads: 128, shared: 25_600, covers: [1, 1] };
        // 128 registers: 4 blocks; 96 KiB of shared memory: 3 blocks of 25 KiB; 3 · 4 of 64 warps.
        assert_eq!(occupancy("sm_61", &kernel, &Usage { registers: 128, ..Usage::default() }), Some(0.1875));
        // 255 registers are 256: 2 blocks.
        assert_eq!(occupancy("sm_61", &Kernel { shared: 0, ..kernel }, &Usage { registers: 255, ..Usage::default() }), Some(0.125));
    }
}
