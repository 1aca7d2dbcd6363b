//! What this machine can run, checked before anything large is allocated or written.

use std::fs;
use std::path::Path;

use crate::arena::Plan;
use crate::backend::cpu::Cpu;
use crate::{Error, Result};

/// Checks that the memory available now holds the plan and the back end's scratch.
///
/// # Errors
/// Bad input that says by how much it is too large.
pub(super) fn require(plan: &Plan, hint: &str) -> Result<()> {
    let mut plan = plan.clone();
    Cpu::plan_scratch(&mut plan);
    let (needed, available) = (plan.total_bytes(), available_memory().unwrap_or(isize::MAX as usize));
    if needed > available {
        let mib = |bytes: usize| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        return Err(Error::bad_input(
            "memory",
            format!("a plan within the {} that are available", mib(available)),
            mib(needed),
            format!("{hint}; `primal-host plan` lists what takes how much"),
        ));
    }
    Ok(())
}

/// Memory that this process could still take without swapping, in bytes; `None` where the system does not say.
fn available_memory() -> Option<usize> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some((kib * 1024).min(control_group_limit()))
}

/// The smallest memory limit of this process's control groups (version 2).
fn control_group_limit() -> usize {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(group) = text.lines().find_map(|line| line.strip_prefix("0::/")) else { return usize::MAX };
    let limits = Path::new(group).ancestors().filter_map(|group| {
        let limit = fs::read_to_string(Path::new("/sys/fs/cgroup").join(group).join("memory.max")).ok()?;
        limit.trim().parse().ok()
    });
    limits.min().unwrap_or(usize::MAX)
}
