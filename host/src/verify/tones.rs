//! A corpus of speech that takes no recordings.

use std::fs;
use std::path::Path;

use crate::sound;

/// Writes a corpus in which each phone is a tone of its own.
pub fn write_corpus(folder: &Path) {
    fs::create_dir_all(folder.join("wavs")).expect("a folder");
    let names = ["AA1", "IY0", "M", "Z", "SIL"];
    for (file, count) in [("train", 10), ("heldout", 3)] {
        let lines = (0..count).map(|i| {
            let id = format!("{file}_{i}");
            let phones: Vec<usize> = (0..6).map(|at| (i * 7 + at * (at + i)) % names.len()).collect();
            let durations: Vec<usize> = phones.iter().map(|phone| 4 + 2 * phone + i % 3).collect();
            let samples = phones.iter().zip(&durations).flat_map(|(&phone, &frames)| {
                let (hz, amplitude) = (120.0 + 90.0 * phone as f32, if names[phone] == "SIL" { 0.0 } else { 0.3 });
                (0..frames * 256).map(move |at| amplitude * (at as f32 * hz / 22_050.0 * std::f32::consts::TAU).sin())
            });
            sound::write(&folder.join(format!("wavs/{id}.wav")), 22_050, &samples.collect::<Vec<_>>()).expect("a WAV");
            let phones: Vec<&str> = phones.iter().map(|&phone| names[phone]).collect();
            let frames: usize = durations.iter().sum();
            let line = serde_json::json!({"id": id, "text": "Mm.", "phones": phones, "durations_frames": durations, "n_frames": frames,
                "wav": format!("wavs/{id}.wav")});
            format!("{line}\n")
        });
        fs::write(folder.join(format!("{file}.jsonl")), lines.collect::<String>()).expect("a list");
    }
}
