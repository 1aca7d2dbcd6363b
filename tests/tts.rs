//! Speech as a whole, through the program: what it says, where it puts it, and what it makes of bad input.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use primal_engine::files::TensorFile;
use primal_engine::files::checkpoint::{Checkpoint, Dtype};
use primal_host::voice::{Vocoder, embedded};
use primal_speech::mel::MelSettings;
use serde_json::Value;

#[path = "tts/bad_input.rs"]
mod bad_input;
#[path = "tts/golden.rs"]
mod golden;
#[path = "tts/long.rs"]
mod long;
#[path = "tts/pauses.rs"]
mod pauses;
#[cfg(target_os = "linux")]
mod resident;
#[path = "tts/tiny.rs"]
mod tiny;
use tiny::{Tiny, write_vocoder};

const TEXT: &str = "The ghost in the machine is singing.";
/// Bytes of a WAV before its samples.
const HEADER: usize = 44;

/// `primal-host tts` with the tiny voice, in a folder of its own.
struct Speaker {
    tiny: Tiny,
    here: tempfile::TempDir,
}

impl Speaker {
    fn new() -> Self {
        Self { tiny: Tiny::new(), here: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.here.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primal-host"));
        command.current_dir(&self.here).args(["tts", "--threads", "1", "--voice"]).arg(&self.tiny.voice).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("primal-host runs")
    }

    /// Runs what has to succeed; the object that it prints.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    }

    /// Runs what has to fail; what it says.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let message = text(&output.stderr);
        let shown: Vec<String> = arguments.iter().map(|argument| argument.chars().take(60).collect()).collect();
        assert_eq!(output.status.code(), Some(code), "{shown:?}: {message}");
        assert!(message.contains("hint: ") && !message.contains("panicked"), "{shown:?}: {message}");
        message
    }

    /// The names of all files in its folder.
    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(&self.here).expect("the folder").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Samples of a mono 16-bit WAV of 22,050 Hz; every byte of its header is checked.
fn samples_of(bytes: &[u8]) -> Vec<i16> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((&bytes[..4], &bytes[8..16]), (&b"RIFF"[..], &b"WAVEfmt "[..]));
    // Size of the format; PCM, one channel; samples and bytes a second; bytes of a sample, bits of a sample.
    assert_eq!([16, 20, 24, 28, 32].map(word), [16, 1 << 16 | 1, 22_050, 44_100, 16 << 16 | 2]);
    assert_eq!(&bytes[36..40], b"data");
    let (riff, data) = (word(4), word(40));
    if (riff, data) != (u32::MAX, u32::MAX) {
        assert_eq!((riff as usize, data as usize), (bytes.len() - 8, bytes.len() - HEADER), "sizes in the header");
    }
    bytes[HEADER..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn read(path: &Path) -> Vec<i16> {
    let bytes = fs::read(path).expect("a WAV");
    let samples = samples_of(&bytes);
    // And by another reader.
    let mut reader = hound::WavReader::open(path).expect("a WAV");
    let spec = reader.spec();
    assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (1, 22_050, 16));
    assert_eq!(reader.samples::<i16>().collect::<Result<Vec<_>, _>>().expect("samples"), samples);
    samples
}

#[test]
fn a_text_becomes_a_wav() {
    let speaker = Speaker::new();
    let said = speaker.json(&["--text", TEXT, "--output", "a.wav"]);
    let samples = read(&speaker.path("a.wav"));
    assert!(samples.len() > 22_050 && samples.len().is_multiple_of(256), "{} samples", samples.len());
    assert!(samples.iter().any(|&sample| sample.unsigned_abs() > 100), "silence");
    assert_eq!(said["seconds"].as_f64(), Some(samples.len() as f64 / 22_050.0));
    assert_eq!(said["samples"].as_u64(), Some(samples.len() as u64));
    assert!(said["real_time_factor"].as_f64().expect("a factor") > 0.0);
    assert!(said["first_audio_seconds"].as_f64().expect("a time") > 0.0);
    let phones: Vec<&str> = said["phonemes"].as_array().expect("phones").iter().map(|name| name.as_str().expect("a name")).collect();
    assert_eq!((phones.first(), phones.last()), (Some(&"SIL"), Some(&"SIL")));
    assert!(phones.join(" ").contains("G OW1 S T"), "{phones:?}");
    assert_eq!(said["warnings"], serde_json::json!([]));
    assert_eq!(speaker.files(), ["a.wav"]);

    let output = speaker.run(&["--text", TEXT]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("speech.wav: "), "{}", text(&output.stdout));
    assert_eq!(read(&speaker.path("speech.wav")), samples, "the same text again");
}

#[test]
fn streams_have_the_bytes_of_files() {
    let speaker = Speaker::new();
    speaker.json(&["--text", TEXT, "--output", "a.wav"]);
    let whole = read(&speaker.path("a.wav"));
    for arguments in [&["--stream"][..], &["--output", "-"]] {
        let output = speaker.run(&[&["--text", TEXT], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(samples_of(&output.stdout) == whole, "{arguments:?}: other samples");
    }
    speaker.json(&["--text", TEXT, "--output", "b.wav", "--stream"]);
    assert!(read(&speaker.path("b.wav")) == whole, "a growing file: other samples");
    assert_eq!(speaker.files(), ["a.wav", "b.wav"]);
    assert!(speaker.fails(2, &["--text", TEXT, "--stream", "--json"]).contains("--json"));
}

#[test]
fn a_listener_may_leave() {
    let speaker = Speaker::new();
    let mut command = speaker.command(&["--text", &"Hello, world. ".repeat(500), "--stream"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("primal-host runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn controls_change_what_they_say_they_do() {
    let speaker = Speaker::new();
    let say = |name: &str, more: &[&str]| {
        speaker.json(&[&["--text", TEXT, "--output", name], more].concat());
        read(&speaker.path(name))
    };
    let plain = say("plain.wav", &[]);
    let ratio = |samples: &[i16]| samples.len() as f64 / plain.len() as f64;
    let (fast, slow) = (say("fast.wav", &["--speed", "2"]), say("slow.wav", &["--speed", "0.5"]));
    assert!((0.4..0.6).contains(&ratio(&fast)), "twice as fast: {} of the length", ratio(&fast));
    assert!((1.8..2.2).contains(&ratio(&slow)), "half as fast: {} of the length", ratio(&slow));
    for (flag, value) in [("--pitch", "-3"), ("--pitch", "4"), ("--pitch-range", "0"), ("--energy", "2")] {
        let other = say("other.wav", &[flag, value]);
        assert_eq!(other.len(), plain.len(), "{flag} {value}: the length");
        assert!(other != plain, "{flag} {value}: the same samples");
    }
}

#[test]
fn results_do_not_depend_on_threads() {
    let speaker = Speaker::new();
    let say = |threads: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primal-host"));
        command.args(["tts", "--text", TEXT, "--output", "-", "--threads", threads, "--voice"]).arg(&speaker.tiny.voice);
        command.output().expect("primal-host runs").stdout
    };
    assert!(say("1") == say("3"), "other samples");
}

#[test]
fn the_voice_in_the_program_speaks_anywhere() {
    let here = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_primal-host"));
    let output = command.current_dir(&here).args(["tts", "--text", TEXT]).output().expect("primal-host runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!read(&here.path().join("speech.wav")).is_empty());
}

#[test]
fn voices_in_the_program_are_found_by_name_and_folders_by_path() {
    let here = tempfile::tempdir().expect("a folder");
    let say = |voice: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primal-host"));
        command.current_dir(&here).args(["tts", "--text", "Oh.", "--output", "-"]).args(voice).output().expect("primal-host runs")
    };
    let default = say(&[]);
    assert_eq!(default.status.code(), Some(0), "{}", text(&default.stderr));
    // A voice in a folder that is called as one in the program.
    let tiny = Tiny::new();
    fs::rename(&tiny.voice, here.path().join("slt")).expect("the same file system");
    let (named, folder) = (say(&["--voice", "slt"]), say(&["--voice", "./slt"]));
    assert_eq!(folder.status.code(), Some(0), "{}", text(&folder.stderr));
    assert_eq!(named.status.code(), Some(0), "{}", text(&named.stderr));
    assert!(named.stdout != folder.stdout, "a folder in place of the voice slt");
    assert!(named.stdout != default.stdout, "slt is not what speaks by default");
    let first = embedded::names().next().expect("a voice");
    assert!(say(&["--voice", first]).stdout == default.stdout, "{first} is not what speaks by default");
    let output = Command::new(env!("CARGO_BIN_EXE_primal-host")).args(["tts", "--help"]).output().expect("primal-host runs");
    let unknown = say(&["--voice", "none"]);
    assert_eq!(unknown.status.code(), Some(2));
    for name in embedded::names() {
        assert!(text(&output.stdout).contains(&format!(" {name}")), "no {name} in: {}", text(&output.stdout));
        assert!(text(&unknown.stderr).contains(name), "no {name} in: {}", text(&unknown.stderr));
    }
}

#[test]
fn lines_become_files_and_a_bad_one_stops_no_other() {
    let speaker = Speaker::new();
    let lines = b"\xEF\xBB\xBFThe ghost in the machine.\r\n\n\xF0\x9F\x91\xBB\nThe ghost \xFF is singing.\nHello, world.\n\n";
    fs::write(speaker.path("lines.txt"), lines).expect("a file");
    let message = speaker.fails(1, &["--file", "lines.txt", "--out-dir", "spoken/now"]);
    for part in ["2 of 5 lines", "line 3: ", "line 4: "] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let folder = speaker.path("spoken/now");
    let mut names: Vec<_> = fs::read_dir(&folder).expect("the folder").map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["0001.wav", "0005.wav", "manifest.jsonl"]);
    let manifest = fs::read_to_string(folder.join("manifest.jsonl")).expect("a manifest");
    let entries: Vec<Value> = manifest.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(entries.iter().map(|entry| entry["line"].as_u64()).collect::<Vec<_>>(), (1..=5).map(Some).collect::<Vec<_>>());
    for entry in &entries {
        let Some(wav) = entry["wav"].as_str() else {
            let (error, skipped) = (entry["error"].is_string(), entry["skipped"].is_string());
            assert!(entry["text"].is_string() && error != skipped && skipped == (entry["line"] == 2), "{entry}");
            continue;
        };
        let samples = read(&folder.join(wav));
        assert_eq!(entry["seconds"].as_f64(), Some(samples.len() as f64 / 22_050.0));
        assert!(entry["real_time_factor"].as_f64().expect("a factor") > 0.0);
        assert_eq!(entry["phones"][0], "SIL");
    }
    assert_eq!(entries[0]["text"], "The ghost in the machine.");

    fs::write(speaker.path("lines.txt"), "Hello, world.\nThe ghost is singing.\n").expect("a file");
    let all = speaker.json(&["--file", "lines.txt"]);
    assert_eq!((&all["lines"], &all["failed"]), (&2.into(), &0.into()));
    assert!(all["seconds"].as_f64().expect("seconds") > 0.5 && all["real_time_factor"].as_f64().expect("a factor") > 0.0);
    let one = speaker.json(&["--text", "Hello, world.", "--output", "one.wav"]);
    assert!(read(&speaker.path("one.wav")) == read(&speaker.path("spoken/0001.wav")), "a line differs from a text");
    let both = speaker.json(&["--file", "lines.txt", "--output", "both.wav"]);
    assert!(both["seconds"].as_f64() > one["seconds"].as_f64());
    assert!(read(&speaker.path("both.wav")).starts_with(&read(&speaker.path("one.wav"))), "the first line comes first");
}

#[test]
fn a_voice_has_what_speaking_needs_and_no_more() {
    let tiny = Tiny::new();
    let acoustic = Checkpoint::open_verified(tiny.voice.join("acoustic.safetensors")).expect("a checkpoint");
    assert!(acoustic.names().all(|name| !name.ends_with("votes")), "votes in a voice");
    assert_eq!(acoustic.meta("step").expect("a step"), "0");
    let sizes = [&tiny.vocoder, &tiny.voice.join("vocoder.safetensors")].map(|path| fs::metadata(path).expect("a file").len());
    assert!(sizes[1] < sizes[0] * 3 / 4, "a vocoder of 16-bit floats: {sizes:?} bytes");
    let description = fs::read_to_string(tiny.voice.join("voice.toml")).expect("a description");
    assert!(description.contains("licence = \"free\""), "{description}");
}

#[test]
fn the_spectrogram_is_drawn() {
    let speaker = Speaker::new();
    let said = speaker.json(&["--text", TEXT, "--output", "a.wav", "--mel", "a.png"]);
    let frames = said["samples"].as_u64().expect("samples") / 256;
    let mut picture = png::Decoder::new(std::io::BufReader::new(fs::File::open(speaker.path("a.png")).expect("a picture"))).read_info();
    let info = picture.as_mut().expect("a PNG").info();
    assert!(u64::from(info.width) >= frames && u64::from(info.width).is_multiple_of(frames), "{} pixels for {frames} frames", info.width);
    assert!(info.height >= 80, "{} pixels for 80 bands", info.height);
    // A minute at most, however long the text is.
    let text = format!("{TEXT} ").repeat(60);
    let output = speaker.run(&["--text", &text, "--output", "a.wav", "--mel", "a.png", "--speed", "0.5"]);
    assert!(output.status.success() && self::text(&output.stderr).contains("first minute"), "{}", self::text(&output.stderr));
}

/// Samples of integers of 8 bits differ from those of floats by a hundredth in power at most.
const EIGHT_BITS: f64 = 1e-2;

#[test]
fn large_weights_of_a_vocoder_take_eight_bits() {
    let speaker = Speaker::new();
    let tiny = &speaker.tiny;
    let (large, voice) = (tiny.folder.path().join("large.safetensors"), tiny.folder.path().join("eight"));
    write_vocoder(&large, &MelSettings::default(), 80);
    let (code, said, error) = tiny.export(&large, &voice);
    assert_eq!(code, Some(0), "{error}");
    let exported = Checkpoint::open_verified(voice.join("vocoder.safetensors")).expect("a vocoder");
    let eight: Vec<&str> = exported.names().filter(|name| exported.tensor(name).is_ok_and(|view| view.dtype == Dtype::I8)).collect();
    assert_eq!(eight, ["ups.0.weight"]);
    let weights = |path: &Path| {
        Vocoder::open(path).and_then(|vocoder| Ok(vocoder.hifigan().expect("HiFi-GAN").values("ups.0.weight")?)).expect("weights")
    };
    let (before, after) = (weights(&large), weights(&voice.join("vocoder.safetensors")));
    let power = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let off = power(&mut before.iter().zip(&after).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    let ratio = 10.0 * (power(&mut before.iter().map(|&a| f64::from(a))) / off).log10();
    let expected = format!("{ratio:.1} dB     signal to error of the vocoder's {} weights of 8 bits", before.len());
    assert!(ratio > 30.0 && said.contains(&expected), "{expected}: {said}");
    // The same voice with the vocoder as it was.
    let say = |name: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_primal-host"))
            .current_dir(&speaker.here)
            .args(["tts", "--threads", "1", "--text", "Hello.", "--output", name, "--voice"])
            .arg(&voice)
            .output()
            .expect("primal-host runs");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        read(&speaker.path(name))
    };
    let rounded = say("rounded.wav");
    fs::copy(&large, voice.join("vocoder.safetensors")).expect("a file");
    let exact = say("exact.wav");
    let off = power(&mut exact.iter().zip(&rounded).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    let share = off / power(&mut exact.iter().map(|&a| f64::from(a)));
    println!("{share:e} of the power");
    assert!(exact.len() == rounded.len() && share > 0.0 && share < EIGHT_BITS, "off by {share} of the power");
}
