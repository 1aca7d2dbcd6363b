//! `cargo xtask count-step`: what one step of training asks of a GPU, counted on the emulated one without executing it, and the time that it should
//! take on the cards of `device/package/predictions.tsv`.

mod count;
mod predictions;
mod print;
mod request;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use argh::FromArgs;

use crate::build_kernels::BuildKernels;
use crate::verify::{emulator, run};
use crate::{cargo_command, root};
use count::{Count, second_step, signatures};
use predictions::{Card, Predictions};

/// Where the rule and the table of predictions are, and the count that they scale.
const PREDICTIONS: &str = "device/package/predictions.tsv";
const REVIEWED: &str = "device/package/step-before.tsv";

/// count launches, memsets, copies and bytes of one training step, and predict its time; nothing is executed
#[derive(FromArgs)]
#[argh(subcommand, name = "count-step")]
pub struct CountStep {
    /// configuration (default: gpt-0.1b)
    #[argh(option, default = "String::from(\"gpt-0.1b\")")]
    config: String,
    /// sequences of a batch (default: 64)
    #[argh(option, default = "64")]
    batch: u64,
    /// tokens of a sequence (default: 512)
    #[argh(option, default = "512")]
    seq_len: u64,
    /// architectures, separated by commas (default: those of all cards in the table of predictions)
    #[argh(option)]
    arch: Option<String>,
    /// print this count in place of a new one
    #[argh(option)]
    count: Option<PathBuf>,
    /// an earlier count to compare with (default: device/package/step-before.tsv)
    #[argh(option)]
    against: Option<PathBuf>,
    /// keep the count in this file
    #[argh(option)]
    out: Option<PathBuf>,
}

/// What is there before anything is counted.
struct Inputs {
    table: Predictions,
    /// The count that the review saw.
    reviewed: Count,
    /// The count to compare with.
    then: Count,
    /// The count to print, if it is given.
    now: Option<Count>,
}

/// Reads a file of the checkout or of the user.
fn read<T>(file: &Path, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
    fs::read_to_string(file)
        .map_err(|error| error.to_string())
        .and_then(|text| parse(&text))
        .map_err(|error| format!("{}: {error}", file.display()))
}

impl CountStep {
    /// Runs it.
    pub fn run(&self) -> ExitCode {
        let done = self.inputs().map(|inputs| self.count_and_print(inputs));
        let (error, code) = match done {
            Ok(Ok(())) => return ExitCode::SUCCESS,
            Ok(Err(error)) => (error, ExitCode::FAILURE),
            Err(error) => (error, ExitCode::from(2)),
        };
        eprintln!("xtask: count-step: {error}");
        code
    }

    fn inputs(&self) -> Result<Inputs, String> {
        let (table, reviewed) = (read(&root().join(PREDICTIONS), Predictions::parse)?, read(&root().join(REVIEWED), Count::parse)?);
        let known = table.cards.iter().map(|card| card.arch.as_str()).collect::<Vec<_>>();
        if let Some(arch) = self.arch.iter().flat_map(|archs| archs.split(',')).find(|arch| !known.contains(arch)) {
            return Err(format!("--arch: expected some of {}, found {arch:?}", known.join(", ")));
        }
        let given = |file: &Option<PathBuf>| file.as_ref().map(|file| read(file, Count::parse)).transpose();
        let then = given(&self.against)?.unwrap_or_else(|| reviewed.clone());
        Ok(Inputs { table, reviewed, then, now: given(&self.count)? })
    }

    fn count_and_print(&self, Inputs { table, reviewed, then, now }: Inputs) -> Result<(), String> {
        let now = now.map_or_else(|| self.count(&table), Ok)?;
        if let Some(file) = &self.out {
            fs::write(file, now.to_text(&table, &reviewed)?).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        print::print(&table, &reviewed, &then, &now)
    }

    /// Builds all that is needed and runs two steps on each architecture.
    fn count(&self, table: &Predictions) -> Result<Count, String> {
        let wanted = |card: &&Card| self.arch.as_ref().is_none_or(|archs| archs.split(',').any(|arch| arch == card.arch));
        let cards: Vec<&Card> = table.cards.iter().filter(wanted).collect();
        if BuildKernels::with(&cards.iter().map(|card| card.arch.as_str()).collect::<Vec<_>>()).run() != ExitCode::SUCCESS {
            return Err("the kernels were not built".into());
        }
        let library = emulator()?;
        run(cargo_command().args(["build", "--release", "--package", "primal-host", "--features", "cuda"]))?;
        let manifest =
            fs::read_to_string(root().join("target/kernels/manifest.json")).map_err(|error| format!("the kernels' manifest: {error}"))?;
        let mut steps = BTreeMap::new();
        for card in cards {
            let dry = self.dry_run(card, &library)?;
            let step = signatures(&manifest, &card.arch).and_then(|signatures| second_step(&dry, &signatures, table));
            steps.insert(card.arch.clone(), step.map_err(|error| format!("the dry run on {}: {error}", card.arch))?);
        }
        Ok(Count { config: self.config.clone(), batch: self.batch, seq_len: self.seq_len, steps })
    }

    /// What the dry mode of the emulated GPU writes of two steps.
    fn dry_run(&self, card: &Card, library: &Path) -> Result<String, String> {
        let folder = root().join("target/count-step");
        let of_folder = |error: std::io::Error| format!("{}: {error}", folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(of_folder)?;
        }
        fs::create_dir_all(&folder).map_err(of_folder)?;
        let file = folder.join("dry.tsv");
        let mut train = Command::new(root().join("target/release/primal-host"));
        train.args(["train", "--device", "cuda", "--steps", "2", "--config", &self.config, "--batch", &self.batch.to_string()]);
        train.args(["--seq-len", &self.seq_len.to_string(), "--out"]).arg(folder.join("run"));
        train.env("LD_LIBRARY_PATH", library).env("PRIMAL_KERNELS", root().join("target/kernels"));
        train.envs([("PTX_EMU_ARCH", &card.arch), ("PTX_EMU_MEMORY", &card.memory)]).env("PTX_EMU_DRY", &file);
        // What the model says after it learned from zeros is of no interest.
        let output = train.output().map_err(|error| format!("running {train:?}: {error}"))?;
        if !output.status.success() {
            return Err(format!("training failed ({})\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
        }
        let dry = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        fs::remove_dir_all(&folder).map_err(of_folder)?;
        Ok(dry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The count of this version, which the package has for its summary.
    const NOW: &str = "device/package/step-now.tsv";

    fn committed() -> (Predictions, Count) {
        (read(&root().join(PREDICTIONS), Predictions::parse).unwrap(), read(&root().join(REVIEWED), Count::parse).unwrap())
    }

    /// The count that predictions scale is the review's: requests exactly, FLOP and bytes as far as it gives them.
    #[test]
    fn the_count_agrees_with_the_review() {
        let (table, reviewed) = committed();
        let launches = ["sm_61", "sm_86", "sm_90"].map(|arch| reviewed.steps[arch].count(|request| request.is_launch()));
        assert_eq!(launches, [3116, 3772, 4324]);
        let h100 = &reviewed.steps["sm_90"];
        assert_eq!((h100.count(|request| request.kernel == "memset"), h100.count(|request| request.is_copy())), (1148, 3));
        let work = table.work(0, h100).unwrap();
        for (group, work) in table.groups.iter().zip(&work) {
            let [launches, tflop, gb] = group.review;
            assert!(launches.is_none_or(|launches| launches == work.requests as f64), "{}: {work:?}", group.name);
            assert!(tflop.is_none_or(|tflop| (tflop - work.flop / 1e12).abs() < 0.006), "{}: {work:?}", group.name);
            assert!(gb.is_none_or(|gb| (gb - work.bytes / 1e9).abs() < 0.1), "{}: {work:?}", group.name);
        }
    }

    /// Every kernel that a step launches has a line, and a time on each card that launches it.
    #[test]
    fn every_kernel_of_a_step_has_a_time() {
        let (table, reviewed) = committed();
        let now = read(&root().join(NOW), Count::parse).unwrap();
        for ((at, card), review) in table.cards.iter().enumerate().zip([813.0, 5200.0, 4360.0]) {
            let work = table.work(at, &reviewed.steps[&card.arch]).unwrap_or_else(|error| panic!("{}: {error}", card.name));
            let total: f64 = table.milliseconds(at, &work, &work).iter().flatten().sum();
            assert!((total / review - 1.0).abs() < 0.01, "{}: {total} ms, the review has {review}", card.name);
            for (file, count) in [(REVIEWED, &reviewed), (NOW, &now)] {
                let kernels = table.by_kernel(at, &count.steps[&card.arch], &work).unwrap_or_else(|error| panic!("{file}: {error}"));
                assert_eq!(kernels.iter().find(|(_, (_, time))| time.is_none()), None, "{file}: a kernel without a time on {}", card.name);
            }
        }
    }

    #[test]
    fn a_count_is_read_as_it_was_written() {
        let (table, reviewed) = committed();
        for file in [REVIEWED, NOW] {
            let text = fs::read_to_string(root().join(file)).unwrap();
            let count = Count::parse(&text).unwrap();
            let written = count.to_text(&table, &reviewed).unwrap();
            assert_eq!(text, written, "the times of {file} are not those of the table: write it anew, with --count and --out");
        }
        assert_eq!(
            Count::parse("step\ttiny\t1\t8\n1\tadd\t1,1\tn=5\n"),
            Err("line 2: expected an architecture before what it is asked for".into())
        );
    }
}
