//! ONNX Runtime as a peer: `peer.py` in a virtual environment of its own under `target/`, a process that runs when it is told to.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bytemuck::cast_slice;

const PACKAGES: [&str; 4] = ["onnxruntime==1.32.0", "onnx==1.23.2", "numpy", "safetensors"];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/vocoder/peer.py");

/// The running process.
pub struct Peer {
    process: Child,
    input: ChildStdin,
    lines: BufReader<ChildStdout>,
    /// Its name and version.
    pub name: String,
    /// What it makes of the mel.
    pub output: Vec<f32>,
}

impl Peer {
    /// Starts it on a vocoder's file and a mel `[frames, num_mels]`.
    ///
    /// # Errors
    /// What is missing, in words: no Python, no network, another runtime than expected.
    pub fn start(vocoder: &Path, mel: &[f32], frames: usize, folder: &Path) -> Result<Self, String> {
        let python = environment()?;
        let (input, audio) = (folder.join("mel.f32"), folder.join("audio.f32"));
        std::fs::write(&input, cast_slice::<f32, u8>(mel)).map_err(|e| format!("{}: {e}", input.display()))?;
        let mut command = Command::new(python);
        command.arg(SCRIPT).arg(vocoder).arg(&input).arg(frames.to_string()).arg(&audio);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|e| format!("python: {e}"))?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (input, output) = (stdin.ok_or("no pipe to python")?, stdout.ok_or("no pipe from python")?);
        let mut peer = Self { process, input, lines: BufReader::new(output), name: String::new(), output: Vec::new() };
        peer.name = peer.line()?;
        let bytes = std::fs::read(&audio).map_err(|e| format!("{}: {e}", audio.display()))?;
        peer.output = bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
        Ok(peer)
    }

    /// Seconds of one run, and those of them on the processor.
    ///
    /// # Errors
    /// The process ended.
    pub fn run(&mut self) -> Result<[f64; 2], String> {
        self.input.write_all(b"run\n").and_then(|()| self.input.flush()).map_err(|e| format!("python: {e}"))?;
        let line = self.line()?;
        let mut numbers = line.split(' ').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(elapsed)), Some(Ok(busy))) => Ok([elapsed, busy]),
            _ => Err(format!("python: expected seconds, found {line:?}")),
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => Err("python ended, see above".into()),
            Ok(_) => Ok(line.trim().into()),
            Err(error) => Err(format!("python: {error}")),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The Python of the environment, which is made unless it is there.
fn environment() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vocoder-peer");
    let (python, complete) = (folder.join("bin/python"), folder.join("complete"));
    if complete.exists() {
        return Ok(python);
    }
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
