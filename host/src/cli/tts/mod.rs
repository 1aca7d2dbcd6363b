//! `primal-host tts`.

mod batch;
mod ear;
mod output;
mod single;

use std::path::{Path, PathBuf};
use std::time::Instant;

use argh::FromArgs;

use super::device::{self, DeviceName, Work};
use super::paths::{Named, require_distinct, require_extension, require_writable};
use super::text::{bytes_of, decode};
use super::threads::in_pool;
use crate::output::warn;
use crate::voice::synthesis::Synthesizer;
use crate::voice::voice::{Voice, require_pitch_range};
use crate::{Error, Result, input};
use primal_engine::backend::Device;
use primal_engine::models::ghost_tts::Controls;

/// speak a text: a WAV of 22,050 Hz, mono, 16 bits
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "tts",
    example = "{command_name} --text \"The ghost in the machine is singing.\"",
    example = "{command_name} --file lines.txt --out-dir spoken      # one WAV a line, and manifest.jsonl",
    example = "{command_name} --file book.txt --output book.wav      # the whole file in one WAV",
    example = "{command_name} --text \"Hello, world.\" --stream | aplay  # heard while it is made",
    example = "{command_name} --markup --file README.md --output readme.wav  # without asterisks and tags"
)]
pub struct Tts {
    /// what to say, in English
    #[argh(option)]
    text: Option<String>,
    /// a file of sentences, one a line, each into a WAV of its own; with --output, a text that is spoken into one WAV; - is standard input. Without
    /// --text and --file, what comes through a pipe is the text
    #[argh(option)]
    file: Option<PathBuf>,
    /// the text is Markdown or HTML, whose marks are not read
    #[argh(switch)]
    markup: bool,
    /// a voice in this program, heart (the default) or slt, or the folder of another one; a folder of such a name is given as ./slt
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
    /// how lively: factor of how far the pitch moves, 0 (one tone) to 3 (default 1)
    #[argh(option, default = "1.0")]
    pitch_range: f32,
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

/// The folder where none is named.
const FOLDER: &str = "spoken";
/// One object a line of the text.
const MANIFEST: &str = "manifest.jsonl";
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
        require_pitch_range("--pitch-range", self.pitch_range)?;
        for (flag, value, range, unit) in ranges.into_iter().chain([("--energy", self.energy, 0.25..=4.0, "")]) {
            if !range.contains(&value) {
                let expected = format!("{} to {}{unit}", range.start(), range.end());
                return Err(Error::bad_input(flag, expected, value, format!("leave {flag} out for the voice's own")));
            }
        }
        let both = |flag: &str, other: &str| Err(Error::bad_input(flag, format!("no {other} beside it"), "both", "leave one of them out"));
        match (&self.text, &self.file) {
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
        self.check_paths()
    }

    /// Whether what is written is what it is called, can be written, and replaces nothing that is read or written besides.
    fn check_paths(&self) -> Result<()> {
        let sound = self.output.as_deref().filter(|path| *path != Path::new(input::STANDARD));
        let manifest = self.is_batch().then(|| self.folder().join(MANIFEST));
        let file = self.file.as_deref().map(|path| ("--file", path));
        let outputs = [("--output", sound), ("--mel", self.mel.as_deref()), ("--out-dir", manifest.as_deref())];
        let outputs: Vec<Named> = outputs.into_iter().filter_map(|(flag, path)| Some((flag, path?))).collect();
        for (i, &(flag, path)) in outputs.iter().enumerate() {
            let others: Vec<Named> = outputs[..i].iter().copied().chain(file).collect();
            match flag {
                "--output" => require_extension((flag, path), "wav").and_then(|()| require_writable((flag, path)))?,
                "--mel" => require_extension((flag, path), "png").and_then(|()| require_writable((flag, path)))?,
                _ => {}
            }
            require_distinct((flag, path), &others)?;
        }
        Ok(())
    }

    /// The folder for WAVs of lines.
    fn folder(&self) -> &Path {
        self.out_dir.as_deref().unwrap_or(Path::new(FOLDER))
    }

    /// A WAV for each line.
    fn is_batch(&self) -> bool {
        (self.file.is_some() && self.output.is_none() && !self.stream) || self.out_dir.is_some()
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
        let bytes = bytes_of("--text", flags.text.as_deref(), flags.file.as_deref())?;
        let voice = match &flags.voice {
            Some(name_or_folder) => Voice::find(name_or_folder)?,
            None => Voice::embedded()?,
        };
        if flags.is_batch() {
            return self.speak_lines(&mut Synthesizer::<D>::new(&voice)?, &bytes);
        }
        let text = decode(&bytes, flags.file.as_deref().unwrap_or(Path::new("the text")).display(), flags.markup)?;
        self.speak_text::<D>(&voice, &text)
    }
}

impl Job<'_> {
    fn controls(&self) -> Controls {
        let Tts { speed, pitch, pitch_range, energy, .. } = *self.flags;
        Controls { speed, pitch, pitch_range, energy }
    }
}

/// Shows the first warnings, and how many there are besides.
fn show_warnings(warnings: &[String], more: usize, prefix: &str) {
    warnings.iter().take(WARNINGS).for_each(|warning| warn(format!("warning: {prefix}{warning}")));
    let more = more + warnings.len().saturating_sub(WARNINGS);
    if more > 0 {
        warn(format!("warning: {prefix}{more} more places not read"));
    }
}
