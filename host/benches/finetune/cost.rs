//! What a step of each arm costs: a few steps, one arm after the other, on a machine that does nothing else.

use std::fs;

use primal_host::report::metrics;

use super::Result;
use super::arms::{COST_STEPS, Kind, SEEDS};
use super::bench::Bench;
use super::ours::seconds;
use super::outcome::{Run, arms};

/// Runs each arm and prints a table; keeps nothing.
pub fn cost(bench: &Bench) -> Result<()> {
    let (arguments, folder) = (bench.arguments, bench.folder.join("cost"));
    println!("| {COST_STEPS} steps | bytes a weight | threads | s a step | peak, MiB |\n|---|---|---|---|---|");
    for arm in arms(bench.words.is_some()).filter(|arm| arm.kind != Kind::AsItIs && arguments.has(arm.name)) {
        let run = Run { arm, lr: arm.rates[0], seed: SEEDS[0], steps: COST_STEPS };
        let (name, bytes, threads) = (arm.name, arm.bytes, bench.threads);
        let _ = fs::remove_dir_all(&folder);
        let (seconds, peak) = match (arm.kind.is_peer(), &arguments.python) {
            (true, None) => {
                println!("| {name} | {bytes} | {threads} | missing (needs --python) | |");
                continue;
            }
            (true, Some(python)) => {
                let said = bench.train_peer(&run, python, &folder, false)?.said;
                (said.seconds, said.peak_mib)
            }
            (false, _) => {
                let peak = bench.train(&run, &folder, 0)?;
                (seconds(&metrics::read(&folder.join(metrics::FILE_NAME)).map_err(|e| e.to_string())?), peak)
            }
        };
        println!("| {name} | {bytes} | {threads} | {seconds:.2} | {peak:.0} |");
    }
    let _ = fs::remove_dir_all(&folder);
    Ok(())
}
