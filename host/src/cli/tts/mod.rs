//! `primal-host tts`.

mod batch;
mod ear;
mod output;
mod single;

use std::path::{Path, PathBuf};
use std::time::Instant;

use argh::FromArgs;

use super::device::{self, DeviceName, Work};
use super::output::warn;
use super::threads::in_pool;
use crate::backend::Device;
use crate::model::ghost_tts::Controls;
use crate::speech::synthesis::Synthesizer;
use crate::speech::voice::Voice;
use crate::{Error, Result};

/// speak a text: a WAV of 22,050 Hz, mono, 16 bits
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "tts",
    example = "{command_name} --text \"The ghost in the machine is singing.\"",
    example = "{command_name} --file lines.txt --out-dir spoken      # one WAV a line, and manifest.jsonl",
    example = "{command_name} --file book.txt --output book.wav      # the whole file in one WAV",
    example = "{command_name} --text \"Hello, world.\" --stream | aplay  # heard while it is made"
)]
pub struct Tts {
    /// what to say, in English
    #[argh(option)]
    text: Option<String>,
    /// a file of sentences, one a line, each into a WAV of its own; with --output, a text that is spoken into one WAV
    #[argh(option)]
    file: Option<PathBuf>,
    /// folder of a voice (default: the voice inside this program)
    #[argh(option)]
    voice: Option<PathBuf>,
    /// the WAV to write (default speech.wav); - is standard output
    #[argh(option)]
    output: Option<PathBuf>,
    /// with --file, the folder for 0001.wav and so on, by line, and manifest.jsonl (default spoken)
    #[argh(option)]
    out_dir: Option<PathBuf>,
    /// write sound as it is made: to standard output, or with --output WAV to WAV.part, which gets its name at the end
    #[argh(switch)]
    stream: bool,
    /// how fast, 0.25 to 4 (default 1)
    #[argh(option, default = "1.0")]
    speed: f32,
    /// how much higher, in semitones, -24 to 24 (default 0)
    #[argh(option, default = "0.0")]
    pitch: f32,
    /// how forcefully: factor of the energy, 0.25 to 4 (default 1)
    #[argh(option, default = "1.0")]
    energy: f32,
    /// PNG to draw: the mel spectrogram with the borders of phones, of the first minute
    #[argh(option)]
    mel: Option<PathBuf>,
    /// device: cpu (default) or cuda
    #[argh(option, default = "DeviceName::default()")]
    device: DeviceName,
    /// threads (default: all cores)
    #[argh(option)]
    threads: Option<usize>,
    /// print one JSON object: seconds, real_time_factor, first_audio_seconds, phonemes and more
    #[argh(switch)]
    json: bool,
}

/// Lines that are bad by themselves show at most so many warnings.
const WARNINGS: usize = 5;

impl Tts {
    /// Speaks, says on stderr how far it is, and on stdout where the sound is.
    ///
    /// # Errors
    /// A voice, a text or flags that cannot be used; lines that could not be spoken, after the others were; an output that cannot be written.
    pub fn run(self) -> Result<()> {
        let start = Instant::now();
        self.check()?;
        in_pool(self.threads, || device::run(self.device, &Job { flags: &self, start }))
    }

    /// Whether the flags make sense, by themselves and together.
    fn check(&self) -> Result<()> {
        let ranges = [("--speed", self.speed, 0.25..=4.0, ""), ("--pitch", self.pitch, -24.0..=24.0, " semitones")];
        for (flag, value, range, unit) in ranges.into_iter().chain([("--energy", self.energy, 0.25..=4.0, "")]) {
            if !range.contains(&value) {
                let expected = format!("{} to {}{unit}", range.start(), range.end());
                return Err(Error::bad_input(flag, expected, value, format!("leave {flag} out for the voice's own")));
            }
        }
        let both = |flag: &str, other: &str| Err(Error::bad_input(flag, format!("no {other} beside it"), "both", "leave one of them out"));
        match (&self.text, &self.file) {
            (None, None) => return Err(Error::bad_input("tts", "--text or --file", "neither", "try --text \"Hello, world.\"")),
            (Some(_), Some(_)) => return both("--text", "--file"),
            (Some(_), None) if self.out_dir.is_some() => {
                return Err(Error::bad_input("--out-dir", "--file beside it", "--text", "name the WAV with --output"));
            }
            _ => {}
        }
        if self.out_dir.is_some() && self.output.is_some() {
            return both("--out-dir", "--output");
        }
        if self.is_batch() && (self.stream || self.mel.is_some()) {
            let flag = if self.stream { "--stream" } else { "--mel" };
            return Err(Error::bad_input(flag, "one WAV", "a WAV for each line of --file", "give --output WAV for all lines in one"));
        }
        Ok(())
    }

    /// A WAV for each line.
    fn is_batch(&self) -> bool {
        self.file.is_some() && self.output.is_none() && !(self.stream && self.out_dir.is_none())
    }
}

/// What is to be done.
struct Job<'a> {
    flags: &'a Tts,
    /// When the command began.
    start: Instant,
}

impl Work for Job<'_> {
    fn run_on<D: Device>(&self) -> Result<()> {
        let flags = self.flags;
        // What can be wrong with the input is found before the voice is loaded.
        let bytes = match &flags.file {
            Some(path) => read_text(path)?,
            None => flags.text.clone().unwrap_or_default().into_bytes(),
        };
        let voice = match &flags.voice {
            Some(folder) => Voice::open(folder)?,
            None => Voice::embedded()?,
        };
        if flags.is_batch() {
            return self.speak_lines(&mut Synthesizer::<D>::new(&voice)?, &bytes);
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
            let path = flags.file.as_deref().unwrap_or(Path::new("--text")).display();
            Error::bad_input(path, "text in UTF-8", format!("other bytes in line {line}"), "convert it, for example with iconv")
        })?;
        self.speak_text::<D>(&voice, &text)
    }
}

impl Job<'_> {
    fn controls(&self) -> Controls {
        Controls { speed: self.flags.speed, pitch: self.flags.pitch, energy: self.flags.energy }
    }
}

/// The bytes of a text file, without a byte order mark.
fn read_text(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = std::fs::read(path).map_err(|error| Error::io("reading", path, error, "give a text file with --file"))?;
    if bytes.contains(&0) {
        return Err(Error::bad_input(path.display(), "text in UTF-8", "a zero byte", "convert it to UTF-8, for example with iconv"));
    }
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        bytes.drain(..3);
    }
    if bytes.trim_ascii().is_empty() {
        return Err(Error::bad_input(path.display(), "words to say", "an empty file", "write one sentence a line"));
    }
    Ok(bytes)
}

/// Shows the first warnings, and how many there are besides.
fn show_warnings(warnings: &[String], more: usize, prefix: &str) {
    warnings.iter().take(WARNINGS).for_each(|warning| warn(format!("warning: {prefix}{warning}")));
    let more = more + warnings.len().saturating_sub(WARNINGS);
    if more > 0 {
        warn(format!("warning: {prefix}{more} more places not read"));
    }
}
