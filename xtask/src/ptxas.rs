//! The assembler: PTX to machine code, and what it says of a kernel.

use std::fs;
use std::path::Path;
use std::process::Command;

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
}
