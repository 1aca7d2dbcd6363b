//! A folder with tiny things to train on, and the program in it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use primal_engine::config::{Config, SpeechConfig};
use primal_engine::files::checkpoint::{Checkpoint, step_file};
use primal_host::configurations::Load;

use primal_host::verify::tones::write_corpus;

/// The longest wait for what has to come.
const PATIENCE: Duration = Duration::from_secs(240);

/// The program under test.
pub fn program() -> PathBuf {
    std::env::var_os("PRIMAL_HOST").map_or_else(|| env!("CARGO_BIN_EXE_primal-host").into(), PathBuf::from)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a run of the program came to.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Ended {
    /// It ended with `code` and said all of `parts`, on either output.
    #[track_caller]
    pub fn with(self, code: i32, parts: &[&str]) -> Self {
        let said = format!("{}\n{}", self.out, self.err);
        assert_eq!(self.code, Some(code), "{said}");
        for part in parts {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
        self
    }
}

pub struct World {
    pub folder: tempfile::TempDir,
}

impl World {
    /// With `tiny.toml`, a text model of 60 steps, and `text` to read.
    pub fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().expect("a folder") };
        let mut config = Config::load("gpt-nano").expect("an embedded configuration");
        (config.model.dim, config.model.heads, config.model.layers, config.model.context) = (8, 1, 1, 16);
        let t = &mut config.train;
        (t.batch, t.seq_len, t.steps, t.checkpoint_every, t.validate_every, t.keep) = (2, 16, 60, 10, 20, 3);
        world.write("tiny.toml", &config.to_toml());
        // Lines that differ, so that the order of the data counts.
        let lines: Vec<String> = (0..400).map(|i| format!("Line {i} is {} words from here.\n", i * i % 97)).collect();
        world.write("text", &lines.concat());
        world
    }

    /// With `voice.toml`, a voice of 12 steps, and `corpus`, too.
    pub fn with_speech() -> Self {
        let world = Self::new();
        let mut config = SpeechConfig::load("ghost-tts-nano").expect("an embedded configuration");
        let t = &mut config.train;
        (t.steps, t.checkpoint_every, t.validate_every, t.sample_every) = (12, 4, 6, 0);
        world.write("voice.toml", &config.to_toml());
        write_corpus(&world.path("corpus"));
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("a file");
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names in a folder, sorted.
    pub fn names(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The program in this folder with the words of `line`.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(program());
        command.current_dir(&self.folder).args(line.split_whitespace()).stdin(Stdio::null());
        // These tests may themselves run under `nohup`, whose children ignore hangups.
        // SAFETY: between fork and exec only the disposition of a signal is set.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGHUP, libc::SIG_DFL);
                Ok(())
            });
        }
        command
    }

    pub fn run(&self, line: &str) -> Ended {
        self.command(line).output().expect("primal-host runs").into()
    }

    /// Begins `train` on the text in `run`.
    pub fn train(&self, run: &str, more: &str) -> Ended {
        self.run(&format!("train --config tiny.toml --data text --out {run} {more}"))
    }

    /// Starts the program with both outputs into pipes.
    pub fn start(&self, line: &str) -> Running {
        Running::new(&mut self.command(line))
    }

    /// The last checkpoint of a run of so many steps.
    pub fn end(&self, run: &str, step: u64) -> Vec<u8> {
        let path = step_file(&self.path(run).join("checkpoints"), step);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The steps in the records of a run.
    pub fn steps(&self, run: &str) -> Vec<u64> {
        let records = primal_host::report::metrics::read(&self.path(run).join("metrics.jsonl")).expect("records");
        records.iter().map(|record| record.step).collect()
    }

    pub fn best(&self, run: &str) -> u64 {
        primal_engine::files::checkpoint::best(&self.path(run).join("checkpoints")).expect("a best.json").expect("a best checkpoint").step
    }

    /// Puts `to` for `from`, which has to be there, into a file.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let before = text(&self.read(name));
        assert!(before.contains(from), "no {from:?} in {before}");
        self.write(name, &before.replace(from, to));
    }
}

/// The bytes of all tensors of a checkpoint, whatever its metadata say.
pub fn tensors(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let checkpoint = Checkpoint::from_bytes("a checkpoint", bytes).expect("an undamaged checkpoint");
    let names: Vec<String> = checkpoint.names().map(str::to_owned).collect();
    names.into_iter().map(|name| (name.clone(), checkpoint.tensor(&name).expect("a tensor").bytes.to_vec())).collect()
}

/// A started program.
pub struct Running {
    pub child: Child,
}

impl Running {
    pub fn new(command: &mut Command) -> Self {
        Self { child: command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("primal-host runs") }
    }

    /// Waits until `path` exists.
    #[track_caller]
    pub fn wait_for(&mut self, path: &Path) {
        let begun = Instant::now();
        while !path.exists() {
            assert!(begun.elapsed() < PATIENCE, "{} did not come", path.display());
            if let Some(status) = self.child.try_wait().expect("a child") {
                let mut err = String::new();
                self.child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut err));
                assert!(path.exists(), "it ended ({status}) before {} came: {err}", path.display());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for a line on standard output with `part` in it.
    #[track_caller]
    pub fn wait_for_line(&mut self, part: &str) {
        let mut out = BufReader::new(self.child.stdout.take().expect("a pipe"));
        let mut line = Vec::new();
        loop {
            line.clear();
            assert!(out.read_until(b'\n', &mut line).expect("a pipe") > 0, "no line with {part:?}");
            if text(&line).contains(part) {
                break;
            }
        }
        // Who reads no further must not stop the writer.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: a signal to a child that is not waited for yet, so the number is its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    pub fn kill(mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("a child");
    }

    pub fn end(self) -> Ended {
        self.child.wait_with_output().expect("a child").into()
    }
}
