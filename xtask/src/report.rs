//! What became of kernels: registers, shared memory, spills, occupancy, and the share of products in the main loop.

use std::path::Path;
use std::process::Command;

use crate::compile::Compiled;
use crate::listing::main_loop;
use crate::ptx::Kernel;
use crate::ptxas::Usage;
use crate::toolchain::Toolchain;

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
    fn occupancy_is_bound_by_the_scarcest() {
        let kernel = Kernel { name: String::new(), parameters: Vec::new(), threads: 128, shared: 25_600, covers: [1, 1] };
        // 128 registers: 4 blocks; 96 KiB of shared memory: 3 blocks of 25 KiB; 3 · 4 of 64 warps.
        assert_eq!(occupancy("sm_61", &kernel, &Usage { registers: 128, ..Usage::default() }), Some(0.1875));
        // 255 registers are 256: 2 blocks.
        assert_eq!(occupancy("sm_61", &Kernel { shared: 0, ..kernel }, &Usage { registers: 255, ..Usage::default() }), Some(0.125));
    }
}
