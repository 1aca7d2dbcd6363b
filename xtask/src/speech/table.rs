//! The scores as a table in Markdown.

use serde_json::Value;

use super::Spoken;

/// Prints a row for each speaker; what was not measured is a dash. Below it is how many more words the first
/// speaker has misheard than each of the others: the mean, its 95 % interval, and what it is below with 95 % (paired bootstrap).
pub fn print(spoken: &[Spoken], words: &[Value], quality: &[Value]) {
    println!(
        "\n| | word errors, % | DistillMOS | DNSMOS overall | P.808 | comb, quiet / loud, dB | log-mel variance | F0, Hz (range, deviation, \
         semitones) | words a second | pauses, % | real-time factor, one thread | first sound, s | MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for speaker in spoken {
        let of = |rows: &[Value]| rows.iter().find(|row| row["name"] == speaker.name.as_str()).cloned().unwrap_or_default();
        let (words, quality) = (of(words), of(quality));
        let cells = [
            with_interval(&words, "wer", "wer_interval"),
            with_interval(&quality, "distillmos", "distillmos_interval"),
            with_interval(&quality, "ovrl", "ovrl_interval"),
            number(&quality["p808"]),
            format!("{} / {}", number(&quality["comb_quiet"]), number(&quality["comb_loud"])),
            number(&quality["mel_variance"]),
            format!("{} ({}, {})", number(&quality["f0_median"]), number(&quality["f0_range"]), number(&quality["f0_deviation"])),
            number(&ratio(&words["words"], &quality["spoken"])),
            quality["pause_share"].as_f64().map_or("–".into(), |share| format!("{:.1}", 100.0 * share)),
            speaker.real_time.map_or("–".into(), |factor| format!("{factor:.3}")),
            speaker.first_sound.map_or("–".into(), |seconds| format!("{seconds:.2}")),
            speaker.bytes.map_or("–".into(), |bytes| format!("{:.1}", bytes as f64 / 1e6)),
        ];
        println!("| {} | {} |", speaker.name, cells.join(" | "));
    }
    let Some(first) = spoken.first() else { return };
    for row in words {
        let (difference, other) = (&row["first_minus_this"], row["name"].as_str().unwrap_or_default());
        if difference.is_object() {
            let points = with_interval(difference, "points", "interval");
            println!(
                "\nword errors of {} minus those of {other}: {points} points, upper bound {}",
                first.name,
                number(&difference["upper"])
            );
        }
    }
}

fn ratio(above: &Value, below: &Value) -> Value {
    above.as_f64().zip(below.as_f64()).map(|(above, below)| above / below).into()
}

fn number(value: &Value) -> String {
    value.as_f64().map_or("–".into(), |value| format!("{value:.2}"))
}

fn with_interval(row: &Value, key: &str, interval: &str) -> String {
    match (row[key].as_f64(), row[interval][0].as_f64(), row[interval][1].as_f64()) {
        (Some(mean), Some(low), Some(high)) => format!("{mean:.2} ({low:.2} to {high:.2})"),
        _ => "–".into(),
    }
}
