//! Long texts.

use std::fs;

#[cfg(target_os = "linux")]
use crate::resident::peak_resident;
use crate::{Speaker, TEXT, read};

/// A text of that many characters.
#[cfg(target_os = "linux")]
fn long(characters: usize) -> String {
    TEXT.chars().chain(" ".chars()).cycle().take(characters).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn long_texts_take_no_more_memory_than_short_ones() {
    /// What phones, warnings and the text itself may take: 40 bytes a character.
    const MORE: u64 = 4_000_000;
    let speaker = Speaker::new();
    let peak = |characters: usize, name: &str| {
        let text = long(characters);
        peak_resident(&mut speaker.command(&["--text", &text, "--speed", "4", "--output", name]))
    };
    let (short, whole) = (peak(2_000, "short.wav"), peak(100_000, "long.wav"));
    let [short_len, long_len] = ["short.wav", "long.wav"].map(|name| fs::metadata(speaker.path(name)).expect("a WAV").len());
    println!("2,000 characters: {short} bytes at the peak; 100,000: {whole}");
    assert!((45..55).contains(&(long_len / short_len)), "{long_len} bytes of WAV for 50 times the text of {short_len}");
    assert!(long_len > 10 * MORE, "a WAV of {long_len} bytes hides nothing");
    assert!(whole < short + MORE, "{whole} bytes at the peak, for 2,000 characters {short}");
}

#[test]
fn texts_without_a_place_to_split_are_spoken() {
    let speaker = Speaker::new();
    for (name, given) in [("letters", "ghost".repeat(400)), ("words", "ghost ".repeat(600)), ("commas", "ghost, ".repeat(600))] {
        let said = speaker.json(&["--text", &given, "--speed", "4", "--output", "a.wav"]);
        assert!(said["seconds"].as_f64().expect("seconds") > 10.0, "{name}: {}", said["seconds"]);
        read(&speaker.path("a.wav"));
    }
}

/// The root mean square of each window of so many seconds.
fn windows(path: &std::path::Path, seconds: f64) -> Vec<f64> {
    let mut reader = hound::WavReader::open(path).expect("a WAV");
    let window = (f64::from(reader.spec().sample_rate) * seconds) as usize;
    let samples: Vec<f64> = reader.samples::<i16>().map(|sample| f64::from(sample.expect("a sample"))).collect();
    let rms = |part: &[f64]| (part.iter().map(|sample| sample * sample).sum::<f64>() / part.len() as f64).sqrt();
    samples.chunks_exact(window).map(rms).collect()
}

#[test]
fn the_voice_does_not_fade_when_a_word_repeats() {
    /// No window has less of the loudest one's amplitude: words and pauses differ by a factor of two.
    const LEAST: f64 = 0.35;
    let here = tempfile::tempdir().expect("a folder");
    let wav = here.path().join("a.wav");
    for (word, times) in [("time ", 400), ("ghost-", 60), ("incomprehensibilities ", 24)] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_primal-host"));
        let output = command.args(["tts", "--text", &word.repeat(times), "--output"]).arg(&wav).output().expect("primal-host runs");
        assert!(output.status.success(), "{word}: {}", String::from_utf8_lossy(&output.stderr));
        let rms = windows(&wav, 1.5);
        let most = rms.iter().copied().fold(0.0, f64::max);
        let (at, least) = rms.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).expect("windows");
        println!("{word}: {} windows, {least:.0} to {most:.0}", rms.len());
        assert!(least >= LEAST * most, "{word}: rms {least:.0} in window {at} of {}, {most:.0} in the loudest", rms.len());
    }
}
