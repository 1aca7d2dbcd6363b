//! The table of the results.

use super::arms::{ADAMW, ARMS, BEFORE, Kind, SEEDS};
use super::{Outcome, Result, best_rate, wanted};

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

/// Prints one line for each arm at its best rate, and what is missing.
pub fn report(outcomes: &[Outcome]) -> Result<()> {
    let of = |name: &str| {
        let arm = ARMS.iter().find(|arm| arm.name == name)?;
        let tried = outcomes.iter().filter(|o| o.arm == name && o.seed == SEEDS[0]);
        let best = best_rate(outcomes, arm).or_else(|| tried.min_by(|a, b| a.validation.total_cmp(&b.validation)).map(|o| o.lr))?;
        let runs: Vec<_> = outcomes.iter().filter(|o| o.arm == name && o.lr == best).collect();
        Some((best, runs))
    };
    let before = of(BEFORE).map(|(_, runs)| runs[0].test);
    let float = of(ADAMW).map(|(_, runs)| mean(&runs.iter().map(|o| o.test).collect::<Vec<_>>()));
    println!(
        "| arm | bytes a weight | rate | held back, nats a token | of AdamW's gain | other text | codes flipped, sum | s a step | peak, MiB | seeds |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for arm in &ARMS {
        let Some((lr, runs)) = of(arm.name) else { continue };
        let column = |value: fn(&Outcome) -> f64| runs.iter().map(|o| value(o)).collect::<Vec<_>>();
        let gain = |loss: f64| match (before, float) {
            (Some(before), Some(float)) if arm.kind != Kind::AsItIs => format!("{:.0} %", 100.0 * (before - loss) / (before - float)),
            _ => "–".into(),
        };
        let flips = if arm.kind == Kind::Grid { format!("{:.2} %", 100.0 * mean(&column(|o| o.flips))) } else { "–".into() };
        let rate = if arm.kind == Kind::AsItIs { "–".into() } else { format!("{lr:e}") };
        let [test, other, seconds, peak] = [column(|o| o.test), column(|o| o.other), column(|o| o.seconds), column(|o| o.peak_mib)];
        println!(
            "| {} | {} | {rate} | {} | {} | {} | {flips} | {:.2} | {:.0} | {} |",
            arm.name,
            arm.bytes,
            told(&test),
            gain(mean(&test)),
            told(&other),
            mean(&seconds),
            mean(&peak),
            runs.len()
        );
        let rounded: Vec<_> = runs.iter().filter_map(|o| o.rounded).collect();
        if !rounded.is_empty() {
            let [test, other] = [0, 1].map(|at| rounded.iter().map(|both| both[at]).collect::<Vec<_>>());
            println!(
                "| {}, then rounded to the model's grid | – | {rate} | {} | {} | {} | – | – | – | {} |",
                arm.name,
                told(&test),
                gain(mean(&test)),
                told(&other),
                rounded.len()
            );
        }
    }
    println!("\nAll rates with seed {}, validation:", SEEDS[0]);
    for arm in ARMS.iter().filter(|arm| arm.kind != Kind::AsItIs) {
        let tried = outcomes.iter().filter(|o| o.arm == arm.name && o.seed == SEEDS[0]);
        println!("- {}: {}", arm.name, tried.map(|o| format!("{:e} {:.4}", o.lr, o.validation)).collect::<Vec<_>>().join(", "));
    }
    let missing: Vec<_> =
        wanted(outcomes).into_iter().map(|run| run.name()).filter(|name| outcomes.iter().all(|o| o.name != *name)).collect();
    if !missing.is_empty() {
        println!("\nMissing: {}", missing.join("; "));
    }
    Ok(())
}
