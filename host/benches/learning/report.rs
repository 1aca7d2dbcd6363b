//! Tables and curves of the results.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use primal_host::report::html::chart::LineChart;

use super::arms::{ARMS, Arm, BATCH, SEQ_LEN, SIZES};
use super::{Outcome, Result, Run, books};

/// Mean and sample standard deviation.
fn mean_and_deviation(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()))
}

/// The mean, and the deviation where there is one.
fn with_deviation((mean, deviation): (f64, Option<f64>)) -> String {
    format!("{mean:.4}{}", deviation.map_or(String::new(), |d| format!(" ± {d:.4}")))
}

/// Prints a table of each size and draws its curves beside the results file.
pub fn report(outcomes: &[Outcome], folder: &Path) -> Result<()> {
    for size in &SIZES {
        let finals: Vec<_> = outcomes.iter().filter(|o| o.size == size.name && o.steps == size.steps).collect();
        let mut arms: BTreeMap<usize, Vec<&Outcome>> = BTreeMap::new();
        for outcome in finals {
            if let Some(index) = ARMS.iter().position(|arm| arm.name == outcome.arm) {
                arms.entry(index).or_default().push(outcome);
            }
        }
        if arms.is_empty() {
            continue;
        }
        let of = |arm: &str, value: fn(&Outcome) -> f64| {
            let index = ARMS.iter().position(|a| a.name == arm)?;
            Some(mean_and_deviation(&arms.get(&index)?.iter().map(|o| value(o)).collect::<Vec<_>>()).0)
        };
        let float = of(Arm::ADAMW.name, |o| o.test);
        let mut table =
            String::from("| arm | learning rate | validation | test | test against float | at a rail | flips a step | seeds |\n");
        table += "|---|---|---|---|---|---|---|---|\n";
        for runs in arms.values() {
            let mean = |value: fn(&Outcome) -> f64| mean_and_deviation(&runs.iter().map(|o| value(o)).collect::<Vec<_>>());
            let test @ (mean_of_test, _) = mean(|o| o.test);
            let against = float.map_or("".into(), |float| format!("{:+.2} %", (mean_of_test / float - 1.0) * 100.0));
            let is_grid = ARMS.iter().any(|a| a.name == runs[0].arm && !a.rule.is_float());
            let share = |value, digits| if is_grid { format!("{:.digits$} %", value * 100.0) } else { "–".into() };
            let (rail, flips) = (share(mean(|o| o.saturation).0, 0), share(mean(|o| o.flip_rate).0, 2));
            let first = runs[0];
            writeln!(
                table,
                "| {} | {} | {:.4} | {} | {against} | {rail} | {flips} | {} |",
                first.arm,
                first.lr,
                mean(|o| o.validation).0,
                with_deviation(test),
                runs.len()
            )
            .expect("a string");
        }
        println!(
            "\n{} grid weights, {:.1} million bytes, nats a byte:\n\n{table}",
            size.name,
            (size.steps as usize * BATCH * SEQ_LEN) as f64 / 1e6
        );

        let mut chart = LineChart::new(&format!("Validation loss, {} weights", size.name), "million bytes", "nats per byte");
        for runs in arms.values().filter(|runs| ARMS.iter().any(|a| a.name == runs[0].arm && (a.is_tuned() || a.last_grid.is_some()))) {
            let first = &runs[0].curve;
            // The first points are far above the rest.
            let points = (0..first.len()).filter(|&i| first[i].1 < 2.2).map(|i| {
                let losses = runs.iter().filter_map(|run| Some(run.curve.get(i)?.1));
                (first[i].0 as f64 / 1e6, mean_and_deviation(&losses.collect::<Vec<_>>()).0)
            });
            chart = chart.line(&runs[0].arm, points.collect());
        }
        let path = folder.join(format!("{}.svg", size.name));
        fs::write(&path, chart.standalone_svg(900.0, 420.0)).map_err(|e| format!("{}: {e}", path.display()))?;
        println!("curves: {}", path.display());
    }
    Ok(())
}

/// Prints the tables of the single pass, and what is missing.
pub fn single_pass(outcomes: &[Outcome]) -> Result<()> {
    for size in &books::SIZES {
        let of_size: Vec<_> = outcomes.iter().filter(|o| o.size == size.name).collect();
        let bytes = (size.steps as usize * BATCH * SEQ_LEN) as f64 / 1e6;
        if of_size.is_empty() {
            println!("\n{} grid weights, {bytes:.1} million bytes: no run yet", size.name);
            continue;
        }
        // All seeds at the rate that is best with the first.
        let best = |arm: &Arm| -> Vec<&Outcome> {
            let runs = of_size.iter().copied().filter(|o| o.arm == arm.name);
            let first = runs.clone().filter(|o| o.seed == books::SEED).min_by(|a, b| a.validation.total_cmp(&b.validation));
            runs.filter(|o| first.is_some_and(|first| first.lr == o.lr)).collect()
        };
        let of = |runs: &[&Outcome], value: fn(&Outcome) -> f64| mean_and_deviation(&runs.iter().map(|o| value(o)).collect::<Vec<_>>());
        // Over the seeds that both have.
        let floats = best(&Arm::ADAMW);
        let against_float = |runs: &[&Outcome]| {
            let among = |runs: &[&Outcome], others: &[&Outcome]| -> Vec<f64> {
                runs.iter().filter(|o| others.iter().any(|other| other.seed == o.seed)).map(|o| o.test).collect()
            };
            let [ours, theirs] = [among(runs, &floats), among(&floats, runs)];
            if ours.is_empty() {
                return "–".to_string();
            }
            format!("{:+.2} %", (mean_and_deviation(&ours).0 / mean_and_deviation(&theirs).0 - 1.0) * 100.0)
        };
        let mut table = String::from(
            "| arm | bytes a weight | rate | validation | test | test against float | training, last twentieth | at a rail | flips a step | \
             seeds | on | validation at each rate |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for arm in books::arms() {
            let runs = best(&arm);
            let Some(run) = runs.first() else { continue };
            let mut rates: Vec<_> =
                of_size.iter().filter(|o| o.arm == arm.name && o.seed == books::SEED).map(|o| (o.lr, o.validation)).collect();
            rates.sort_by(|a, b| a.0.total_cmp(&b.0));
            let is_edge = rates.len() > 1 && [rates.first(), rates.last()].into_iter().flatten().any(|(lr, _)| *lr == run.lr);
            let all: Vec<_> = rates.iter().map(|(lr, loss)| format!("{lr}: {loss:.4}")).collect();
            let share =
                |value: f64, digits: usize| if arm.rule.is_float() { "–".into() } else { format!("{:.digits$} %", value * 100.0) };
            let mean = |value: fn(&Outcome) -> f64| of(&runs, value).0;
            let last = |o: &Outcome| o.training.last().map_or(f64::NAN, |(_, loss)| *loss);
            let devices: BTreeSet<&str> = runs.iter().map(|o| o.device.as_deref().unwrap_or("cpu")).collect();
            writeln!(
                table,
                "| {} | {} | {}{} | {} | {} | {} | {:.4} | {} | {} | {} | {} | {} |",
                arm.name,
                arm.bytes(),
                run.lr,
                if is_edge { ", at the edge of those tried" } else { "" },
                with_deviation(of(&runs, |o| o.validation)),
                with_deviation(of(&runs, |o| o.test)),
                against_float(&runs),
                mean(last),
                share(mean(|o| o.saturation), 0),
                share(mean(|o| o.flip_rate), 2),
                runs.len(),
                devices.into_iter().collect::<Vec<_>>().join(", "),
                all.join(", "),
            )
            .expect("a string");
        }
        println!("\n{} grid weights, {bytes:.1} million bytes, each once, nats a byte:\n\n{table}", size.name);
    }
    let missing: Vec<_> = books::runs(outcomes).iter().map(Run::name).filter(|name| outcomes.iter().all(|o| o.name != *name)).collect();
    println!("Missing: {}", if missing.is_empty() { "nothing that is known to be wanted by now".into() } else { missing.join("; ") });
    Ok(())
}
