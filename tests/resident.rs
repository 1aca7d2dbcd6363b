//! How much memory a program held at most.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Runs a program to its end; its peak resident memory (VmHWM) in bytes, read every 2 ms.
pub fn peak_resident(command: &mut Command) -> u64 {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("primal-host runs");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        // A process that has ended, but is not waited for, has a status without memory.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = line.map_or(peak, |kib| kib * 1024);
        if let Some(ended) = child.try_wait().expect("a child") {
            assert!(ended.success(), "{command:?}: {ended}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
