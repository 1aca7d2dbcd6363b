//! The scores as a table in Markdown.

use serde_json::Value;

use super::Spoken;

/// Prints a row for each speaker; what was not measured is a dash.
pub fn print(spoken: &[Spoken], words: &[Value], quality: &[Value]) {
    println!(
        "\n| | word errors, % | DistillMOS | DNSMOS overall | P.808 | comb, quiet / loud, dB | log-mel variance | F0, Hz (range, semitones) | \
         real-time factor, one thread | first sound, s | MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
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
            format!("{} ({})", number(&quality["f0_median"]), number(&quality["f0_range"])),
            speaker.real_time.map_or("–".into(), |factor| format!("{factor:.3}")),
            speaker.first_sound.map_or("–".into(), |seconds| format!("{seconds:.2}")),
            speaker.bytes.map_or("–".into(), |bytes| format!("{:.1}", bytes as f64 / 1e6)),
        ];
        println!("| {} | {} |", speaker.name, cells.join(" | "));
    }
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
