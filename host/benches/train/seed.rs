//! The project that PRIMAL began as, as a peer: its own training step in PyTorch, in a process that makes a step when it is told to.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The configuration that is the size of its model.
pub const CONFIG: &str = "gpt-0.1b";
/// How to have it in the table.
pub const HOW: &str = "the step of batteryphil/Primal-Discrete-LLM-Training in PyTorch takes turns with ours if --seed names a clone of it";

const PACKAGES: [&str; 2] = ["torch==2.5.1", "numpy"];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/train/seed_step.py");

/// The running process.
pub struct Seed {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// PyTorch and its version.
    pub name: String,
}

impl Seed {
    /// Starts it on a clone, and makes a first step. Without a `python` that has PyTorch, an environment is made for it.
    ///
    /// # Errors
    /// What is missing, in words: no Python, no network, no such commit in the clone.
    pub fn start(clone: &Path, python: Option<&Path>, [batch, seq_len, threads]: [usize; 3]) -> Result<Self, String> {
        let python = python.map_or_else(environment, |python| Ok(python.into()))?;
        let mut command = Command::new(python);
        command.arg(SCRIPT).arg(clone).args([batch, seq_len, threads].map(|n| n.to_string()));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|e| format!("python: {e}"))?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (input, output) = (stdin.ok_or("no pipe to python")?, stdout.ok_or("no pipe from python")?);
        let mut seed = Self { process, input, output: BufReader::new(output), name: String::new() };
        seed.name = seed.line()?;
        Ok(seed)
    }

    /// Seconds of a step.
    ///
    /// # Errors
    /// The process ended.
    pub fn step(&mut self) -> Result<f64, String> {
        self.input.write_all(b"step\n").and_then(|()| self.input.flush()).map_err(|e| format!("python: {e}"))?;
        let line = self.line()?;
        line.parse().map_err(|_| format!("python: expected seconds, found {line:?}"))
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        loop {
            line.clear();
            match self.output.read_line(&mut line) {
                Ok(0) => return Err("python ended, see above".into()),
                // Its modules say more than the script.
                Ok(_) if line.starts_with("PyTorch") || line.trim().parse::<f64>().is_ok() => return Ok(line.trim().into()),
                Ok(_) => {}
                Err(error) => return Err(format!("python: {error}")),
            }
        }
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The Python of the environment, which is made unless it is there.
fn environment() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("seed-step");
    let (python, complete) = (folder.join("bin/python"), folder.join("complete"));
    if complete.exists() {
        return Ok(python);
    }
    eprintln!("making a Python environment in {} (PyTorch, about 3 GB from PyPI); --python names one that is there", folder.display());
    let run = |command: &mut Command| match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{command:?}: {error}")),
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    std::fs::write(&complete, "").map_err(|e| format!("{}: {e}", complete.display()))?;
    Ok(python)
}
