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
