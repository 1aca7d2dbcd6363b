//! What is disturbed: commands that write, how they go on, and what they have to come to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use primal_engine::config::{Config, SpeechConfig};
use primal_engine::files::checkpoint::step_file;
use primal_host::configurations::Load;
use primal_host::report::metrics;
use primal_host::verify::tones::write_corpus;

use crate::tiny::Tiny;

/// Final files by name.
pub type Product = BTreeMap<String, Vec<u8>>;

/// What all scenarios read.
pub struct Inputs {
    folder: tempfile::TempDir,
    tiny: Tiny,
    program: PathBuf,
}

/// A command that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// Training on text.
    Train,
    /// Training a model on, its table of embeddings too.
    FineTune,
    /// Training a voice.
    TtsTrain,
    /// A text into one WAV, with its picture.
    Tts,
    /// The same into a growing WAV.
    TtsStream,
    /// A WAV a line, and the manifest.
    TtsLines,
}

pub const SCENARIOS: [Scenario; 6] =
    [Scenario::Train, Scenario::FineTune, Scenario::TtsTrain, Scenario::Tts, Scenario::TtsStream, Scenario::TtsLines];
const STEPS: u64 = 12;
const SPEECH_STEPS: u64 = 6;
/// What is trained on: `init` gives it weights.
const MODEL: &str = "[model]\narchitecture = 'llama'\ndim = 32\nlayers = 1\nheads = 1\nhidden = 32\ncontext = 16\ntokenizer = 'bytes'\ntied = true\n\
    embeddings = 'matrix'\ngrid = 'uint4'\nscales = 'group32-offset'\n[train]\nbatch = 2\nseq_len = 16\nsteps = 12\nlr = 1e-2\nvote_start = 'spread'\n\
    threshold = 0.52\ntrains_table = true\nvalidate_every = 3\ncheckpoint_every = 4\nsample_every = 0\nkeep = 2\n";

impl Scenario {
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::FineTune => "train --from",
            Self::TtsTrain => "tts-train",
            Self::Tts => "tts",
            Self::TtsStream => "tts --stream",
            Self::TtsLines => "tts --out-dir",
        }
    }
}

impl Inputs {
    pub fn new(program: PathBuf) -> Self {
        let folder = memory_folder();
        let at = |name: &str| folder.path().join(name);
        let mut config = Config::load("gpt-nano").expect("an embedded configuration");
        (config.model.dim, config.model.heads, config.model.layers, config.model.context) = (8, 1, 1, 16);
        let t = &mut config.train;
        (t.batch, t.seq_len, t.steps, t.checkpoint_every, t.validate_every, t.sample_every, t.keep) = (2, 16, STEPS, 4, 3, 0, 2);
        fs::write(at("tiny.toml"), config.to_toml()).expect("a configuration");
        let lines: Vec<String> = (0..100).map(|i| format!("Line {i} is {} words from here.\n", i * i % 97)).collect();
        fs::write(at("text"), lines.concat()).expect("a text");
        fs::write(at("model.toml"), MODEL).expect("a configuration");
        let made =
            Command::new(&program).args(["init", "--config", "model.toml", "--out", "model.safetensors"]).current_dir(&folder).status();
        assert!(made.expect("the program").success(), "a model to start from");
        let mut config = SpeechConfig::load("ghost-tts-nano").expect("an embedded configuration");
        let t = &mut config.train;
        (t.steps, t.checkpoint_every, t.validate_every, t.sample_every, t.keep) = (SPEECH_STEPS, 2, 3, 3, 2);
        fs::write(at("voice.toml"), config.to_toml()).expect("a configuration");
        write_corpus(&at("corpus"));
        fs::write(at("lines.txt"), "One.\nTwo and two.\nThree.\n").expect("lines");
        Self { folder, tiny: Tiny::new(), program }
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The command that begins a scenario in `here`, or goes on with what is there.
    pub fn command(&self, scenario: Scenario, here: &Path) -> Command {
        let mut command = Command::new(&self.program);
        let voice = self.tiny.folder.path().join("voice").display().to_string();
        let is_begun = here.join("run/config.toml").exists();
        let (config, data, lines) = (self.at("tiny.toml"), self.at("text"), self.at("lines.txt"));
        let (voice_config, corpus, model) = (self.at("voice.toml"), self.at("corpus"), self.at("model.safetensors"));
        command.args(match scenario {
            Scenario::Train | Scenario::FineTune if is_begun => vec!["train", "--resume", "run"],
            Scenario::Train => vec!["train", "--config", &config, "--data", &data, "--out", "run"],
            Scenario::FineTune => vec!["train", "--from", &model, "--data", &data, "--out", "run"],
            Scenario::TtsTrain if is_begun => vec!["tts-train", "--resume", "run"],
            Scenario::TtsTrain => vec!["tts-train", "--config", &voice_config, "--data", &corpus, "--out", "run"],
            Scenario::Tts => vec!["tts", "--voice", &voice, "--file", &lines, "--output", "a.wav", "--mel", "a.png"],
            Scenario::TtsStream => vec!["tts", "--voice", &voice, "--file", &lines, "--output", "a.wav", "--stream"],
            Scenario::TtsLines => vec!["tts", "--voice", &voice, "--file", &lines, "--out-dir", "spoken"],
        });
        command.args(["--threads", "1"]).current_dir(here);
        command
    }
}

/// Syncing to memory takes no time.
pub fn memory_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

/// What a finished scenario has made.
pub fn product(scenario: Scenario, here: &Path) -> Result<Product, String> {
    let read = |path: PathBuf| fs::read(&path).map_err(|error| format!("{}: {error}", path.display()));
    let run = here.join("run");
    let (names, steps): (Vec<PathBuf>, u64) = match scenario {
        Scenario::Train | Scenario::FineTune => (vec![], STEPS),
        Scenario::TtsTrain => (vec![run.join(format!("samples/step-{SPEECH_STEPS:08}.png"))], SPEECH_STEPS),
        Scenario::Tts => (vec![here.join("a.wav"), here.join("a.png")], 0),
        Scenario::TtsStream => (vec![here.join("a.wav")], 0),
        Scenario::TtsLines => ((1..=3).map(|line| here.join(format!("spoken/{line:04}.wav"))).collect(), 0),
    };
    let mut product: Product =
        names.into_iter().map(|path| Ok((path.display().to_string(), read(path)?))).collect::<Result<_, String>>()?;
    if steps > 0 {
        product.insert("last checkpoint".into(), read(step_file(&run.join("checkpoints"), steps))?);
        for name in ["checkpoints/best.json", "config.toml", "data.json"] {
            product.insert(name.into(), read(run.join(name))?);
        }
        // Builds of before have none.
        product.extend(read(run.join("run.json")).map(|bytes| ("run.json".to_owned(), bytes)));
        let records = metrics::read(&run.join(metrics::FILE_NAME)).map_err(|error| error.to_string())?;
        product.insert("steps".into(), records.iter().map(|record| record.step as u8).collect());
    }
    if scenario == Scenario::TtsLines {
        // Speeds differ; what was said does not.
        let manifest = String::from_utf8(read(here.join("spoken/manifest.jsonl"))?).map_err(|error| error.to_string())?;
        let said = manifest.lines().map(|line| {
            let entry: serde_json::Value = serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
            Ok(format!("{} {} {}\n", entry["line"], entry["wav"], entry["phones"]))
        });
        product.insert("manifest".into(), said.collect::<Result<String, String>>()?.into_bytes());
    }
    // Names hold the folder of the trial.
    let here = here.display().to_string();
    Ok(product.into_iter().map(|(name, bytes)| (name.replace(&here, ""), bytes)).collect())
}

/// Unfinished files anywhere below a folder.
pub fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let found = entries.flat_map(|entry| {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is_left = name.starts_with(".primal-") || name.starts_with(".tmp") || name.contains(".part");
        if path.is_dir() { leftovers(&path) } else { is_left.then_some(path).into_iter().collect() }
    });
    found.collect()
}
