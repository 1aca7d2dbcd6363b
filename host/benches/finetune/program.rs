//! The program and other ones, run to their end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Result;

/// The program itself.
pub const PRIMAL: &str = env!("CARGO_BIN_EXE_primal-host");

pub fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| format!("{}: no text", path.display()))
}

/// What the program says.
pub fn primal(line: &[&str]) -> Result<String> {
    let output = Command::new(PRIMAL).args(line).output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("{}: {}", line.join(" "), String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where the output of what is made in a folder goes.
pub fn log(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".log");
    name.into()
}

/// Runs a command to its end; the most memory that it had resident, MiB.
pub fn watch(command: &mut Command, log: &Path) -> Result<f64> {
    let failed = |e: std::io::Error| format!("{}: {e}", log.display());
    let output = File::create(log).map_err(failed)?;
    let errors = output.try_clone().map_err(failed)?;
    let mut child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().map_err(failed)?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0f64;
    loop {
        let resident = fs::read_to_string(&status).ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        });
        peak = peak.max(resident.unwrap_or(0.0) / 1024.0);
        if let Some(ended) = child.try_wait().map_err(failed)? {
            return if ended.success() { Ok(peak) } else { Err(format!("{ended}; its output is in {}", log.display())) };
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
