//! Runs of the program's own `train`.

use std::fs;
use std::path::Path;
use std::process::Command;

use primal_engine::files::checkpoint::latest_good;
use primal_host::report::metrics;

use super::Result;
use super::arms::{Kind, SEQ_LEN};
use super::bench::Bench;
use super::outcome::{Outcome, Run};
use super::program::{PRIMAL, log, watch};
use super::results::has_begun;

/// The median of a few seconds.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Bench<'_> {
    /// Measures the model as it came.
    pub fn before(&self, run: &Run) -> Result<Outcome> {
        self.measured(&self.model, run.outcome(&self.fingerprint))
    }

    /// Trains, or goes on training, and measures.
    pub fn ours(&self, run: &Run) -> Result<Outcome> {
        let folder = self.folder.join(run.folder());
        let peak_mib = self.train(run, &folder, run.steps / 5)?;
        let latest = latest_good(&folder.join("checkpoints")).map_err(|e| e.to_string())?;
        let latest = latest.ok_or_else(|| format!("{}: no checkpoint", folder.display()))?;
        let checkpoint = latest.checkpoint.path();
        let records = metrics::read(&folder.join(metrics::FILE_NAME)).map_err(|e| e.to_string())?;
        let last = records.last().ok_or_else(|| format!("{}: no metrics", folder.display()))?;
        let curve: Vec<_> = records.iter().filter_map(|r| Some((r.step, r.validation_loss?))).collect();
        let outcome = Outcome {
            steps: last.step,
            tokens: last.tokens.unwrap_or_default(),
            validation: curve.last().ok_or_else(|| format!("{}: no validation", folder.display()))?.1,
            flips: records.iter().filter_map(|r| r.flip_rate).sum(),
            seconds: seconds(&records),
            threads: self.threads,
            peak_mib,
            curve,
            ..run.outcome(&self.fingerprint)
        };
        let outcome = self.measured(checkpoint, outcome)?;
        if run.arm.kind != Kind::Floats {
            return Ok(outcome);
        }
        let floats = folder.join("floats");
        let _ = fs::remove_dir_all(&floats);
        self.floats(checkpoint, &floats)?;
        let outcome = self.rounded(&floats, &folder.join("rounded.safetensors"), outcome);
        let _ = fs::remove_dir_all(floats);
        outcome
    }

    /// Trains in a folder, from its last checkpoint on if there is one; the most memory that was resident, MiB.
    pub fn train(&self, run: &Run, folder: &Path, every: u64) -> Result<f64> {
        let mut train = Command::new(PRIMAL);
        train.args(["train", "--threads", &self.threads.to_string()]);
        if has_begun(folder) {
            train.arg("--resume").arg(folder);
        } else {
            let _ = fs::remove_dir_all(folder);
            let [steps, seq, every, lr, seed] =
                [run.steps.to_string(), SEQ_LEN.to_string(), every.to_string(), run.lr.to_string(), run.seed.to_string()];
            train.arg("--from").arg(&self.model).arg("--data").arg(&self.texts[0]).arg("--out").arg(folder);
            train.args(["--steps", &steps, "--batch", "1", "--seq-len", &seq, "--validate-every", &every, "--checkpoint-every", &every]);
            train.args(["--sample-every", "0", "--keep", "1", "--lr", &lr, "--seed", &seed]).args(run.arm.flags);
        }
        watch(&mut train, &log(folder))
    }
}

/// Seconds of a step of a full batch: the median, which is of steps without validation.
pub fn seconds(records: &[metrics::StepRecord]) -> f64 {
    SEQ_LEN as f64 / median(records.iter().filter_map(|r| r.tokens_per_second).collect())
}
