//! Who says the sentences: voices, their teacher, other programs, and copies of recordings.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{call, is_installed, name_of, output};
use crate::folder;

/// What says the sentences, and where sound goes.
pub struct Speakers {
    pub program: PathBuf,
    pub python: PathBuf,
    pub work: PathBuf,
}

/// Sound of one speaker.
pub struct Spoken {
    pub name: String,
    folder: PathBuf,
    /// Seconds of work for a second of speech, on one thread.
    pub real_time: Option<f64>,
    /// Seconds to the first sound of the first sentence.
    pub first_sound: Option<f64>,
    /// Of the speaker's files.
    pub bytes: Option<u64>,
}

impl Spoken {
    fn of(name: impl Into<String>, folder: PathBuf) -> Self {
        Self { name: name.into(), folder, real_time: None, first_sound: None, bytes: None }
    }

    /// With the times that a program printed as JSON.
    fn timed(mut self, printed: &str) -> Self {
        for row in printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            self.real_time = row["real_time_factor"].as_f64().or(self.real_time);
            self.first_sound = row["first_audio_seconds"].as_f64().or(self.first_sound);
            self.bytes = row["bytes"].as_u64().or(self.bytes);
        }
        self
    }

    /// As the scripts take it.
    pub fn pair(&self) -> String {
        format!("{}={}", self.name, self.folder.display())
    }
}

impl Speakers {
    fn emptied(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.work.join(name);
        folder::empty(&folder)?;
        Ok(folder)
    }

    /// One of the scripts under tests/speech.
    pub fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(crate::root().join("tests/speech").join(name));
        command
    }

    /// A voice of ours, on one thread.
    pub fn voice(&self, voice: &Path, sentences: &Path) -> Result<Spoken, String> {
        let folder = self.emptied(&name_of(voice))?;
        let mut tts = Command::new(&self.program);
        tts.args([OsStr::new("tts"), "--file".as_ref(), sentences.as_os_str(), "--out-dir".as_ref(), folder.as_os_str()]);
        // A plain name would be that of a voice in the program.
        tts.arg("--voice").arg(Path::new(".").join(voice)).args(["--threads", "1", "--json"]);
        let printed = output(&mut tts)?;
        let bytes = files(voice, "")?.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum();
        Ok(Spoken { bytes: Some(bytes), ..Spoken::of(name_of(voice), folder).timed(&printed) })
    }

    /// The teacher of `slt` where it is asked for and installed, and what the vocoder makes of its sound.
    pub fn festival(&self, voices: &[PathBuf], sentences: &Path) -> Result<Vec<Spoken>, String> {
        let Some(voice) = voices.iter().find(|voice| name_of(voice) == "slt") else { return Ok(Vec::new()) };
        if !is_installed("festival") {
            println!(
                "no festival, so slt's teacher is not scored (apt-get install festival festlex-cmu festlex-poslex festvox-us-slt-hts)"
            );
            return Ok(Vec::new());
        }
        let teacher = self.emptied("festival")?;
        call(self.script("teacher.py").args([sentences, &teacher]))?;
        let copies = self.emptied("festival-copy")?;
        for sound in files(&teacher, "wav")? {
            self.copy(&sound, &copies, voice)?;
        }
        Ok(vec![Spoken::of("festival", teacher), Spoken::of("festival-copy", copies)])
    }

    /// espeak-ng where it is installed.
    pub fn espeak(&self, sentences: &Path) -> Result<Option<Spoken>, String> {
        if !is_installed("espeak-ng") {
            println!("no espeak-ng, so it is not scored (apt-get install espeak-ng)");
            return Ok(None);
        }
        let folder = self.emptied("espeak-ng")?;
        let text = fs::read_to_string(sentences).map_err(|error| format!("{}: {error}", sentences.display()))?;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wav = folder.join(format!("{:04}.wav", number + 1));
            call(Command::new("espeak-ng").args(["-v", "en-us", "-w"]).arg(wav).args(["--", line]))?;
        }
        Ok(Some(Spoken::of("espeak-ng", folder)))
    }

    /// Piper's voice joe, which comes with the environment of `quality.py`.
    pub fn piper(&self, sentences: &Path, there: bool) -> Result<Option<Spoken>, String> {
        if !there {
            return Ok(None);
        }
        let folder = self.emptied("piper-joe")?;
        let printed = output(self.script("piper_joe.py").args([sentences, &folder]))?;
        Ok(Some(Spoken::of("piper-joe", folder).timed(&printed)))
    }

    /// The held-out recordings of a corpus.
    pub fn recordings(&self, corpus: &Path) -> Result<Spoken, String> {
        let path = corpus.join("heldout.jsonl");
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let folder = self.emptied("recordings")?;
        let (mut listing, mut texts) = (String::new(), String::new());
        for (number, line) in text.lines().enumerate() {
            let bad = || format!("{}:{}: expected an object with `wav` and `text`", path.display(), number + 1);
            let mut row: Value = serde_json::from_str(line).map_err(|_| bad())?;
            let from = corpus.join(row["wav"].as_str().ok_or_else(bad)?);
            let name = format!("{:04}.wav", number + 1);
            // FLAC becomes WAV, which all the rest reads.
            call(self.script("as_wav.py").args([&from, &folder.join(&name)]))?;
            row["wav"] = name.into();
            listing += &format!("{row}\n");
            texts += &format!("{}\n", row["text"].as_str().ok_or_else(bad)?);
        }
        for (path, text) in [(self.listing(), listing), (self.texts(), texts)] {
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(Spoken::of("recordings", folder))
    }

    /// Text and file of each recording, as `score.py` reads them.
    pub fn listing(&self) -> PathBuf {
        self.work.join("recordings.jsonl")
    }

    /// What is said in the recordings, a line each.
    pub fn texts(&self) -> PathBuf {
        self.work.join("recordings.txt")
    }

    /// What a voice's vocoder makes of the recordings.
    pub fn copies(&self, corpus: &Path, voice: &Path) -> Result<Spoken, String> {
        let name = format!("{}-copy", name_of(voice));
        let folder = self.emptied(&name)?;
        let recordings = files(&self.work.join("recordings"), "wav")?;
        if recordings.is_empty() {
            return Err(format!("{}: heldout.jsonl names no recordings", corpus.display()));
        }
        for sound in recordings {
            self.copy(&sound, &folder, voice)?;
        }
        Ok(Spoken::of(name, folder))
    }

    fn copy(&self, sound: &Path, to: &Path, voice: &Path) -> Result<(), String> {
        let copy = to.join(sound.file_name().unwrap_or_default());
        let mut vocode = Command::new(&self.program);
        vocode.args([OsStr::new("vocode"), "--input".as_ref(), sound.as_os_str(), "--output".as_ref(), copy.as_os_str()]);
        vocode.arg("--vocoder").arg(voice.join("vocoder.safetensors")).arg("--json");
        output(&mut vocode).map(|_| ())
    }
}

/// The files of a folder, those of one kind where it is named.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("reading {}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| extension.is_empty() || path.extension() == Some(OsStr::new(extension)));
    paths.sort();
    Ok(paths)
}
