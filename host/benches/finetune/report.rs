//! The table of the results.

use super::arms::{ADAMW, Arm, BEFORE, Kind, SEEDS};
use super::gain::share;
use super::outcome::{Outcome, Run, arms, best_rate, of_arm, wanted};
use super::phones::Words;

/// In place of a figure.
const NONE: &str = "–";

/// Mean, and with more than one value the sample standard deviation.
fn told(values: &[f64]) -> String {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let deviation = if values.len() > 1 { format!(" ± {:.4}", (squares / (n - 1.0)).sqrt()) } else { String::new() };
    format!("{mean:.4}{deviation}")
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Without the seeds.
fn second(values: &[(u64, f64)]) -> Vec<f64> {
    values.iter().map(|(_, value)| *value).collect()
}

/// Two cells: words whose phones are right, and the phones that are wrong, of runs that have been asked.
fn answers(words: &[Words]) -> String {
    let told = |value: fn(&Words) -> f64| match words {
        [] => NONE.into(),
        words => format!("{:.1} %", 100.0 * mean(&words.iter().map(value).collect::<Vec<_>>())),
    };
    format!("{} | {} | ", told(|words| words.right), told(|words| words.phone_errors))
}

/// What a run that learns phones has learnt and forgotten besides, and what is left of one of floats once they are rounded.
fn besides_of(outcome: &Outcome) -> String {
    let words = outcome.words.map(|words| format!("{:.1} %, {:.2}", 100.0 * words.right, outcome.other));
    let rounded = outcome.rounded.map(|[test, _]| format!("rounded {test:.4}"));
    let all: Vec<_> = words.into_iter().chain(rounded).collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join("; ")) }
}

/// A run in words.
pub fn line(outcome: &Outcome) -> String {
    let Outcome { name, validation, test, other, seconds, peak_mib, .. } = outcome;
    if *test == 0.0 {
        return format!("{name}: {seconds:.2} s a step, {peak_mib:.0} MiB");
    }
    let words = outcome.words.map(|words| format!(", {:.1} % of words right", 100.0 * words.right)).unwrap_or_default();
    let validation = if *validation == 0.0 { String::new() } else { format!("validation {validation:.4}, ") };
    format!("{name}: {validation}test {test:.4}{words}, other text {other:.4}")
}

/// Prints one line for each arm at its best rate, and what is missing.
pub fn report(outcomes: &[Outcome], learns_phones: bool, steps: u64) {
    let of = |arm: &'static Arm| {
        let tried = of_arm(outcomes, arm, steps).filter(|o| o.seed == SEEDS[0]);
        let best = best_rate(outcomes, arm, steps).or_else(|| tried.min_by(|a, b| a.validation.total_cmp(&b.validation)).map(|o| o.lr))?;
        let runs: Vec<_> = of_arm(outcomes, arm, steps).filter(|o| o.lr == best).collect();
        Some((best, runs))
    };
    let tests_of = |name: &str| {
        let found = arms(learns_phones).find(|arm| arm.name == name).and_then(of);
        found.map_or_else(Vec::new, |(_, runs)| runs.iter().map(|o| (o.seed, o.test)).collect::<Vec<_>>())
    };
    let (before, floats) = (tests_of(BEFORE).first().map(|(_, test)| *test), tests_of(ADAMW));
    let words = if learns_phones { "words right | phone errors | " } else { "" };
    println!(
        "| arm | bytes a weight | rate | held back, nats a token | of AdamW's gain | {words}other text | flips for 100 weights | s a step | peak, MiB | seeds |"
    );
    println!("|---|---|---|---|---|{}---|---|---|---|---|", if learns_phones { "---|---|" } else { "" });
    for arm in arms(learns_phones) {
        let Some((lr, runs)) = of(arm) else { continue };
        let column = |value: fn(&Outcome) -> f64| runs.iter().map(|o| value(o)).collect::<Vec<_>>();
        let gain = |tests: &[(u64, f64)]| {
            let share = before.filter(|_| arm.kind != Kind::AsItIs).and_then(|before| share(before, tests, &floats));
            share.map_or_else(|| NONE.into(), |share| format!("{:.0} %", 100.0 * share))
        };
        let tests: Vec<_> = runs.iter().map(|o| (o.seed, o.test)).collect();
        let [other, seconds, peak] = [column(|o| o.other), column(|o| o.seconds), column(|o| o.peak_mib)];
        let flips = if arm.kind == Kind::Grid { format!("{:.1}", 100.0 * mean(&column(|o| o.flips))) } else { NONE.into() };
        let (name, bytes, count) = (arm.name, arm.bytes, runs.len());
        let rate = if arm.kind == Kind::AsItIs { NONE.into() } else { format!("{lr:e}") };
        let cost = format!("{:.2} | {:.0} | {count} |", mean(&seconds), mean(&peak));
        if arm.kind == Kind::TorchCost {
            println!("| {name} | {bytes} | {NONE} | {NONE} | {NONE} | {NONE} | {NONE} | {cost}");
            continue;
        }
        let cost = if arm.kind == Kind::AsItIs { format!("{NONE} | {NONE} | {NONE} |") } else { cost };
        let rank = runs[0].rank.map(|rank| format!(", rank {rank}")).unwrap_or_default();
        let losses = |tests: &[(u64, f64)], words: fn(&Outcome) -> Option<Words>, other: &[f64]| {
            let words = if learns_phones { answers(&runs.iter().filter_map(|o| words(o)).collect::<Vec<_>>()) } else { String::new() };
            format!("{} | {} | {words}{}", told(&second(tests)), gain(tests), told(other))
        };
        println!("| {name}{rank} | {bytes} | {rate} | {} | {flips} | {cost}", losses(&tests, |o| o.words, &other));
        let rounded: Vec<_> = runs.iter().filter_map(|o| Some((o.seed, o.rounded?))).collect();
        if !rounded.is_empty() {
            let [tests, other] = [0, 1].map(|at| rounded.iter().map(|(seed, both)| (*seed, both[at])).collect::<Vec<_>>());
            let (losses, count) = (losses(&tests, |o| o.rounded_words, &second(&other)), rounded.len());
            println!(
                "| {name}{rank}, then rounded to the model's grid | {NONE} | {rate} | {losses} | {NONE} | {NONE} | {NONE} | {count} |"
            );
        }
    }
    let besides = if learns_phones { " (words right, other text; held back once rounded)" } else { " (held back once rounded)" };
    println!("\nAll rates with seed {}, validation{besides}:", SEEDS[0]);
    for arm in arms(learns_phones).filter(|arm| arm.kind.is_compared()) {
        let mut tried: Vec<_> = of_arm(outcomes, arm, steps).filter(|o| o.seed == SEEDS[0]).collect();
        tried.sort_by(|a, b| a.lr.total_cmp(&b.lr));
        let Some(best) = tried.iter().min_by(|a, b| a.validation.total_cmp(&b.validation)) else { continue };
        let is_edge = tried.len() > 1 && [tried.first(), tried.last()].into_iter().flatten().any(|edge| edge.lr == best.lr);
        let edge = if is_edge { "; the best is at the edge of what was tried" } else { "" };
        println!(
            "- {}: {}{edge}",
            arm.name,
            tried.iter().map(|o| format!("{:e} {:.4}{}", o.lr, o.validation, besides_of(o))).collect::<Vec<_>>().join(", ")
        );
    }
    let is_missing = |run: &Run| outcomes.iter().all(|o| o.name != run.name());
    let missing: Vec<_> = wanted(outcomes, learns_phones, steps).iter().filter(|run| is_missing(run)).map(Run::told).collect();
    if !missing.is_empty() {
        println!("\nMissing: {}", missing.join("; "));
    }
}
