//! `cargo xtask bench speech`: what voices sound like and how much of it a recogniser understands, beside their teachers and other programs.
//!
//! | file | idea |
//! |---|---|
//! | `environment.rs` | the Python that the scripts under `tests/speech` need |
//! | `speakers.rs` | who says the sentences: voices, teachers, peers, and copies of recordings |
//! | `table.rs` | the scores as a table |
//!
//! `tests/speech/sentences.txt` and `harder.txt` (numbers, questions, lists) are for choices while a voice is made; `final.txt` is for the voice
//! that came out of them, once.

mod environment;
mod speakers;
mod table;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use argh::FromArgs;

use speakers::{Speakers, Spoken};

/// score voices by word errors (Whisper-base), DistillMOS, DNSMOS, comb, range of F0 and speed, beside teachers, peers (Piper's joe, espeak-ng) and recordings
#[derive(FromArgs)]
struct Arguments {
    /// folder of a voice; may be repeated (default models/voices/heart, then slt)
    #[argh(option)]
    voice: Vec<PathBuf>,
    /// one sentence a line (default tests/speech/sentences.txt)
    #[argh(option)]
    sentences: Option<PathBuf>,
    /// folder of a corpus, for a second table: the recordings that its heldout.jsonl names, their copies by the voices' vocoders, and what the
    /// voices make of their texts
    #[argh(option)]
    corpus: Option<PathBuf>,
    /// only the voices, no teacher and no peers
    #[argh(switch)]
    alone: bool,
    /// only word errors, for which the Python environment needs 400 MB in place of 6 GB
    #[argh(switch)]
    words: bool,
    /// a Python with all that the scripts import (default: an environment made for them)
    #[argh(option)]
    python: Option<PathBuf>,
    /// folder for environment, sound and transcripts (default target/speech)
    #[argh(option)]
    work: Option<PathBuf>,
}

/// Runs it.
pub fn run(arguments: &[String]) -> ExitCode {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let parsed = match Arguments::from_args(&["cargo xtask bench speech"], &arguments) {
        Ok(parsed) => parsed,
        Err(exit) => {
            println!("{}", exit.output);
            return if exit.status.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    match bench(&parsed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: bench speech: {message}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &Arguments) -> Result<(), String> {
    let root = crate::root();
    let work = arguments.work.clone().unwrap_or_else(|| root.join("target/speech"));
    let python = match &arguments.python {
        Some(python) => python.clone(),
        None => environment::python(&work, !arguments.words)?,
    };
    call(crate::cargo_command().current_dir(root).args(["build", "--release", "--package", "primal-host"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let voices = if arguments.voice.is_empty() {
        ["heart", "slt"].map(|name| root.join("models/voices").join(name)).to_vec()
    } else {
        arguments.voice.clone()
    };
    let program = target.join("release/primal-host");
    let speakers = |texts: &str| Speakers { program: program.clone(), python: python.clone(), work: work.join(texts) };
    let bench = Bench { arguments, work: &work, voices: &voices };
    bench.sentences(&speakers("sentences"))?;
    if let Some(corpus) = &arguments.corpus {
        bench.recordings(&speakers("recordings"), corpus)?;
    }
    println!("\nsound and transcripts are in {}; figures stand in for ears: nobody has listened", work.display());
    Ok(())
}

/// What both tables need.
struct Bench<'a> {
    arguments: &'a Arguments,
    work: &'a Path,
    voices: &'a [PathBuf],
}

impl Bench<'_> {
    /// The table of who says the sentences.
    fn sentences(&self, speakers: &Speakers) -> Result<(), String> {
        let sentences = self.arguments.sentences.clone().unwrap_or_else(|| crate::root().join("tests/speech/sentences.txt"));
        let mut spoken = Vec::new();
        for voice in self.voices {
            spoken.push(speakers.voice(voice, &sentences)?);
        }
        if !self.arguments.alone {
            spoken.extend(speakers.festival(self.voices, &sentences)?);
            spoken.extend(speakers.espeak(&sentences)?);
            spoken.extend(speakers.piper(&sentences, !self.arguments.words || self.arguments.python.is_some())?);
        }
        println!("\n{}:", sentences.display());
        self.table(speakers, &spoken, ["--sentences".as_ref(), sentences.as_ref()])
    }

    /// The table of a corpus' recordings, what voices make of their texts, and their copies.
    fn recordings(&self, speakers: &Speakers, corpus: &Path) -> Result<(), String> {
        let recordings = speakers.recordings(corpus)?;
        let mut spoken = Vec::new();
        for voice in self.voices {
            spoken.push(speakers.voice(voice, &speakers.texts())?);
            spoken.push(speakers.copies(corpus, voice)?);
        }
        // Last: word errors are compared with those of the first voice.
        spoken.push(recordings);
        println!("\n{}:", corpus.display());
        self.table(speakers, &spoken, ["--jsonl".as_ref(), speakers.listing().as_ref()])
    }

    /// Scores the sound of speakers of the same texts.
    fn table(&self, speakers: &Speakers, spoken: &[Spoken], texts: [&OsStr; 2]) -> Result<(), String> {
        let pairs = || spoken.iter().map(Spoken::pair);
        let words = rows(
            speakers.script("score.py").arg("--work").arg(self.work).arg("--transcripts").arg(&speakers.work).args(texts).args(pairs()),
        )?;
        let quality = if self.arguments.words { Vec::new() } else { rows(speakers.script("quality.py").args(pairs()))? };
        table::print(spoken, &words, &quality);
        Ok(())
    }
}

/// The JSON objects that a script prints, one a line.
fn rows(command: &mut Command) -> Result<Vec<serde_json::Value>, String> {
    let printed = output(command)?;
    // Libraries say things of their own.
    Ok(printed.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(serde_json::Value::is_object).collect())
}

/// What a command prints; its errors go to ours.
fn output(command: &mut Command) -> Result<String, String> {
    let done = command.stderr(std::process::Stdio::inherit()).output().map_err(|error| format!("{command:?}: {error}"))?;
    // Exit code 1 of `tts` says that some lines failed; they count as not understood.
    if done.status.code().is_none_or(|code| code > 1) || (done.status.code() == Some(1) && done.stdout.is_empty()) {
        return Err(format!("{command:?}: {}", done.status));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn call(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

/// Whether a program is there.
fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// A name for a folder: its last part.
fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}
