//! Files and arguments that mean harm, or only come from elsewhere, through the command line: nothing ends in a panic, an endless read or memory
//! without bounds, nothing of them drives a terminal, and each message says what to do.
//!
//! `PRIMAL_HOST=PATH` tests another program.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use primal_engine::config::Config;
use primal_engine::files::checkpoint::{Checkpoint, Dtype, TensorRef, save};
use primal_host::configurations::Load;

#[path = "hostile/arguments.rs"]
mod arguments;
#[path = "hostile/endless.rs"]
mod endless;
#[path = "hostile/expected.rs"]
mod expected;
#[path = "hostile/gguf.rs"]
mod gguf;
#[path = "hostile/import.rs"]
mod import;
#[path = "hostile/lexicon.rs"]
mod lexicon;
#[path = "hostile/models.rs"]
mod models;
#[path = "hostile/tensors.rs"]
mod tensors;
#[path = "hostile/terminal.rs"]
mod terminal;
#[path = "tts/tiny.rs"]
mod tiny;
#[path = "hostile/values.rs"]
mod values;

/// Kilobytes of address space that are enough for every command here.
const MEMORY: usize = 3_000_000;
/// Seconds after which a command never ends.
const PATIENCE: &str = "60";

/// A folder to run the program in.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file");
        path
    }

    /// The program, with bounds on memory and time.
    fn command(&self, arguments: &[&str]) -> Command {
        let program = std::env::var_os("PRIMAL_HOST").unwrap_or_else(|| env!("CARGO_BIN_EXE_primal-host").into());
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -v {MEMORY}; exec timeout {PATIENCE} \"$0\" \"$@\"")]);
        command.arg(program).args(arguments).current_dir(&self.folder).env("RAYON_NUM_THREADS", "2");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("primal-host runs")
    }

    /// The same, with something to read.
    fn run_with(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("primal-host runs");
        // It may read none of it.
        let _ = child.stdin.take().expect("a pipe").write_all(input);
        child.wait_with_output().expect("primal-host ends")
    }

    /// Runs what has to be refused as bad input; what it says.
    fn refused(&self, arguments: &[&str]) -> String {
        refusal(arguments, &self.run(arguments))
    }

    /// Runs what has to succeed; what it says on both outputs.
    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout) + &text(&output.stderr)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn refusal(arguments: &[&str], output: &Output) -> String {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    let is_plain = message.contains("hint: ") && !message.contains("panicked") && !message.contains("memory");
    assert!(is_plain, "{arguments:?}: {message}");
    message
}

/// A run of a tiny model of text of so many steps, and its last checkpoint.
fn tiny_run(place: &Place, steps: u64) -> PathBuf {
    let mut config = Config::load("gpt-nano").expect("an embedded configuration");
    (config.model.dim, config.model.heads, config.model.layers, config.model.context) = (8, 1, 1, 16);
    let t = &mut config.train;
    (t.batch, t.seq_len, t.steps, t.checkpoint_every, t.validate_every) = (2, 16, steps + 2, steps, 0);
    place.write("tiny.toml", config.to_toml());
    place.write("text.txt", "A line to learn from.\n".repeat(50));
    let mut command = Command::new(env!("CARGO_BIN_EXE_primal-host"));
    command.args(["train", "--threads", "1", "--config", "tiny.toml", "--data", "text.txt", "--out", "run"]);
    let output = command.current_dir(&place.folder).output().expect("primal-host runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    place.path(&format!("run/checkpoints/step-{steps:08}.safetensors"))
}

/// Writes a checkpoint again with other metadata or tensors, and the right checksums.
fn forge(from: &Path, to: &Path, edit: impl FnOnce(&mut Contents)) {
    let checkpoint = Checkpoint::open(from).expect("a checkpoint");
    let tensor = |name: &str| {
        let view = checkpoint.tensor(name).expect("a tensor");
        (name.to_string(), view.dtype, view.shape.to_vec(), view.bytes.to_vec())
    };
    let mut contents = Contents { metadata: checkpoint.metadata().clone(), tensors: checkpoint.names().map(tensor).collect() };
    drop(checkpoint);
    edit(&mut contents);
    let tensors = contents.tensors.iter().map(|(name, dtype, shape, bytes)| TensorRef::new(name.clone(), *dtype, shape, bytes));
    save(to, &contents.metadata, &tensors.collect::<Vec<_>>()).expect("a checkpoint");
}

/// What a checkpoint holds.
struct Contents {
    metadata: std::collections::BTreeMap<String, String>,
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

impl Contents {
    /// The bytes of the first tensor whose name ends so.
    fn bytes(&mut self, end: &str) -> &mut Vec<u8> {
        &mut self.tensors.iter_mut().find(|(name, ..)| name.ends_with(end)).expect("such a tensor").3
    }

    fn set_f32(&mut self, end: &str, value: f32) {
        self.bytes(end)[..4].copy_from_slice(&value.to_le_bytes());
    }
}
