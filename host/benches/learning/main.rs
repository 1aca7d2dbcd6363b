//! How well each update rule and grid learns, against its float twin: the same model, data order and number of tokens for every arm.
//!
//! Each run is a run folder of `primal-host train`, so it resumes after an interruption and has a report of its own. A run's figures are
//! appended to a results file as one JSON object; runs that the file has are not repeated. First the learning rate of each arm is chosen on
//! the validation split, with an equal budget; the figures of the long runs are on the test split, which no choice has seen. In a single pass
//! (`--books`) the long runs themselves try rates.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use argh::FromArgs;
use arguments::arguments;
use primal_engine::config::Tokenizer;
use primal_engine::config::{Architecture, Config, GptConfig, TrainConfig, Windows};
use primal_engine::files::checkpoint::latest_good;
use primal_host::data::{Corpus, CorpusOptions, Split, TextCodec};
use primal_host::report::metrics;
use serde::{Deserialize, Serialize};

#[path = "../shared/arguments.rs"]
mod arguments;
mod arms;
mod books;
#[path = "../shared/rates.rs"]
mod rates;
mod report;
#[path = "../shared/results.rs"]
mod results;

use arms::{ARMS, Arm, BATCH, SEQ_LEN, SIZES, Size, TUNING_SEED, TUNING_STEPS};
use results::{append, has_begun, read};

/// train every arm on the same text and compare; without --data: print the results that are there
#[derive(FromArgs)]
struct Arguments {
    /// text to learn; the committed results are for the six novels of Jane Austen
    #[argh(option)]
    data: Option<PathBuf>,
    /// folder of books, .txt or .txt.zst, one with `validation` in its name: the study in a single pass instead
    #[argh(option)]
    books: Option<PathBuf>,
    /// print the results of the study in a single pass
    #[argh(switch)]
    single_pass: bool,
    /// only runs whose name contains this; may be repeated
    #[argh(option)]
    only: Vec<String>,
    /// runs at a time, one thread each (default: all cores; on cuda one, as several need NVIDIA's MPS)
    #[argh(option)]
    jobs: Option<usize>,
    /// where runs compute: cpu or cuda (default: cpu)
    #[argh(option, default = "\"cpu\".into()")]
    device: String,
    /// the program that trains (default: the one built beside this; a package's, on a machine without Rust)
    #[argh(option, default = "env!(\"CARGO_BIN_EXE_primal-host\").into()")]
    program: PathBuf,
    /// folder of the runs (default: target/learning)
    #[argh(option, default = "default_runs()")]
    runs: PathBuf,
    /// results file (default: models/learning/results.jsonl, in a single pass single-pass.jsonl)
    #[argh(option)]
    results: Option<PathBuf>,
    /// list the runs that are missing, and start none
    #[argh(switch)]
    list: bool,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn default_runs() -> PathBuf {
    root().join("target/learning")
}

/// One run of an arm.
struct Run {
    size: &'static Size,
    arm: Arm,
    lr: f32,
    seed: u64,
    steps: u64,
    windows: Windows,
}

impl Run {
    fn name(&self) -> String {
        let purpose = if self.steps == TUNING_STEPS { "tuning" } else { "final" };
        format!("{purpose}, {}, {}, lr {}, seed {}", self.size.name, self.arm.name, self.lr, self.seed)
    }

    fn folder(&self) -> String {
        let words = self.name().replace([',', '+'], "");
        words.split_whitespace().collect::<Vec<_>>().join("-")
    }

    fn config(&self) -> Config {
        let Size { dim, layers, heads, .. } = *self.size;
        let Arm { grid, last_grid, scales, rule, .. } = self.arm;
        let mut train = TrainConfig {
            optimizer: rule,
            steps: self.steps,
            batch: BATCH,
            seq_len: SEQ_LEN,
            lr: self.lr,
            warmup: 50,
            seed: self.seed,
            windows: self.windows,
            hold_out_test: self.windows == Windows::Random,
            validate_every: self.steps.div_ceil(20),
            validation_tokens: 32768,
            sample_every: 0,
            checkpoint_every: self.steps.div_ceil(10),
            keep: 1,
            ..TrainConfig::default()
        };
        (self.arm.adjust)(&mut train);
        Config {
            model: GptConfig {
                architecture: Architecture::default(),
                dim,
                layers,
                heads,
                context: SEQ_LEN,
                tokenizer: Tokenizer::Bytes,
                biases: false,
                tied: false,
                embeddings: Default::default(),
                grid,
                last_grid,
                scales,
            },
            train,
        }
    }
}

/// What a run came to; one line of the results file.
#[derive(Clone, Serialize, Deserialize)]
struct Outcome {
    name: String,
    size: String,
    arm: String,
    lr: f32,
    seed: u64,
    /// Fingerprint of the texts.
    data: String,
    steps: u64,
    tokens: u64,
    /// Last validation loss, nats a byte.
    validation: f64,
    /// Loss on the whole test split, nats a byte.
    test: f64,
    /// Share of weights at a rail at the end.
    saturation: f64,
    /// Mean share of weights that flip in a step, over the last tenth.
    flip_rate: f64,
    /// Training time, one thread; other programs may have run.
    seconds: f64,
    /// `cuda`, where it was not the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// (tokens, validation loss).
    curve: Vec<(u64, f64)>,
    /// (tokens, mean training loss since the point before), of a single pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    training: Vec<(u64, f64)>,
}

fn main() {
    if let Err(message) = run(&arguments()) {
        eprintln!("learning: {message}");
        std::process::exit(1);
    }
}

type Result<T> = std::result::Result<T, String>;

fn run(arguments: &Arguments) -> Result<()> {
    let is_single = arguments.books.is_some() || arguments.single_pass;
    let file = if is_single { "single-pass.jsonl" } else { "results.jsonl" };
    let file = arguments.results.clone().unwrap_or_else(|| root().join("models/learning").join(file));
    let results = Results::open(&file)?;
    match (&arguments.data, &arguments.books) {
        (Some(_), Some(_)) => return Err("--data and --books are two studies: give one of them".into()),
        (Some(data), None) => {
            let options = CorpusOptions { hold_out_test: true, ..CorpusOptions::default() };
            let corpus = corpus(&[data.display().to_string()], &options)?;
            println!("{}", corpus.describe());
            println!("a test split of {} bytes is held out for the final figures", corpus.tokens(Split::Test));
            let fingerprint = format!("{:016x}", corpus.fingerprint());
            let training = SIZES.iter().map(|size| Text { size: size.name, path: data.clone(), fingerprint: fingerprint.clone() });
            let bench = Bench { arguments, texts: Texts { training: training.collect(), held_out: None }, results: &results };
            for phase in [tuning_runs, final_runs] {
                bench.all(phase)?;
            }
        }
        (None, Some(folder)) => {
            let texts = books::texts(folder, &arguments.runs.join("books"))?;
            let bench = Bench { arguments, texts, results: &results };
            bench.all(books::runs)?;
        }
        (None, None) => println!("these are the results in {}", file.display()),
    }
    let outcomes = results.outcomes();
    if is_single { report::single_pass(&outcomes) } else { report::report(&outcomes, file.parent().expect("a folder")) }
}

fn corpus(paths: &[String], options: &CorpusOptions) -> Result<Corpus> {
    Corpus::open(paths, TextCodec::Bytes, options).map_err(|e| e.to_string())
}

fn tuning_runs(_: &[Outcome]) -> Vec<Run> {
    let arms = SIZES.iter().flat_map(|size| ARMS.iter().filter(|arm| arm.is_tuned()).map(move |arm| (size, *arm)));
    let runs = arms.flat_map(|(size, arm)| {
        size.lrs.iter().map(move |&lr| Run { size, arm, lr, seed: TUNING_SEED, steps: TUNING_STEPS, windows: Windows::Random })
    });
    runs.collect()
}

/// The long runs of all arms whose learning rate is known, one seed of all before the next.
fn final_runs(outcomes: &[Outcome]) -> Vec<Run> {
    let mut runs = Vec::new();
    for size in &SIZES {
        for (i, &seed) in size.seeds.iter().enumerate() {
            let arms = ARMS.iter().filter(|arm| arm.all_seeds || i == 0);
            runs.extend(arms.filter_map(|&arm| {
                Some(Run { size, arm, lr: tuned_lr(outcomes, size, arm)?, seed, steps: size.steps, windows: Windows::Random })
            }));
        }
    }
    runs
}

/// The learning rate with the lowest validation loss, once all have been tried.
fn tuned_lr(outcomes: &[Outcome], size: &Size, arm: Arm) -> Option<f32> {
    let tried: Vec<_> = outcomes.iter().filter(|o| o.size == size.name && o.arm == arm.tuned_as && o.steps == TUNING_STEPS).collect();
    let best = tried.iter().min_by(|a, b| a.validation.total_cmp(&b.validation))?;
    (tried.len() == size.lrs.len()).then_some(best.lr)
}

/// The results file.
struct Results {
    outcomes: Mutex<Vec<Outcome>>,
    file: PathBuf,
}

impl Results {
    fn open(file: &Path) -> Result<Self> {
        Ok(Self { outcomes: Mutex::new(read(file)?), file: file.to_path_buf() })
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.outcomes.lock().expect("no panic").clone()
    }

    fn add(&self, outcome: Outcome) -> Result<()> {
        let mut outcomes = self.outcomes.lock().expect("no panic");
        append(&outcome, &self.file)?;
        outcomes.push(outcome);
        Ok(())
    }
}

/// What a size learns.
struct Text {
    /// The size's name.
    size: &'static str,
    path: PathBuf,
    /// Of it, and of what it is measured on.
    fingerprint: String,
}

/// What is learnt and measured.
struct Texts {
    training: Vec<Text>,
    /// Where they are files of their own: what chooses rates, and what no choice sees.
    held_out: Option<[PathBuf; 2]>,
}

impl Texts {
    fn training(&self, size: &str) -> Option<&Text> {
        self.training.iter().find(|text| text.size == size)
    }
}

struct Bench<'a> {
    arguments: &'a Arguments,
    texts: Texts,
    results: &'a Results,
}

/// Says so when it is dropped.
struct GiveUp<'a>(&'a AtomicBool);

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Bench<'_> {
    /// Does the runs that the results lack, several at a time. Which runs are wanted may depend on those before.
    fn all(&self, runs: impl Fn(&[Outcome]) -> Vec<Run> + Sync) -> Result<()> {
        let outcomes = self.results.outcomes();
        for outcome in &outcomes {
            if let Some(Text { size, fingerprint, .. }) = self.texts.training(&outcome.size).filter(|text| text.fingerprint != outcome.data)
            {
                let found = &outcome.data;
                return Err(format!(
                    "the results at {size} are for the text {found}, this one is {fingerprint}; give another --results file"
                ));
            }
        }
        let missing = || {
            let outcomes = self.results.outcomes();
            let only = &self.arguments.only;
            let mut missing = runs(&outcomes);
            missing.retain(|run| {
                let name = run.name();
                self.texts.training(run.size.name).is_some()
                    && outcomes.iter().all(|o| o.name != name)
                    && (only.is_empty() || only.iter().any(|part| name.contains(part.as_str())))
            });
            missing
        };
        if self.arguments.list {
            missing().iter().for_each(|run| println!("missing: {}", run.name()));
            return Ok(());
        }
        let cores = if self.arguments.device == "cpu" { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 };
        let jobs = self.arguments.jobs.unwrap_or(cores).max(1);
        let (taken, given_up) = (Mutex::new(BTreeSet::new()), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let work = || -> Result<()> {
                // However this worker ends but well, the others do not wait for its run.
                let guard = GiveUp(&given_up);
                loop {
                    let next = {
                        let mut taken = taken.lock().expect("no panic");
                        missing().into_iter().find(|run| taken.insert(run.name()))
                    };
                    let Some(run) = next else {
                        // What runs elsewhere may ask for more.
                        if missing().is_empty() || given_up.load(Ordering::Relaxed) {
                            std::mem::forget(guard);
                            return Ok(());
                        }
                        std::thread::sleep(Duration::from_secs(1));
                        continue;
                    };
                    let start = Instant::now();
                    let outcome = self.one(&run)?;
                    self.results.add(outcome.clone())?;
                    let Outcome { name, validation, test, .. } = &outcome;
                    println!("{name}: validation {validation:.4}, test {test:.4} ({:.0} s)", start.elapsed().as_secs_f64());
                }
            };
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("no panic"))
        })
    }

    /// Trains, or goes on training, and measures.
    fn one(&self, run: &Run) -> Result<Outcome> {
        let folder = self.arguments.runs.join(run.folder());
        let config = self.arguments.runs.join(format!("{}.toml", run.folder()));
        fs::create_dir_all(&self.arguments.runs).map_err(|e| format!("{}: {e}", self.arguments.runs.display()))?;
        let Text { path: text, fingerprint, .. } =
            self.texts.training(run.size.name).ok_or_else(|| format!("{}: no text is as long", run.name()))?;
        let mut train = Command::new(&self.arguments.program);
        train.args(["train", "--threads", "1", "--device", &self.arguments.device]);
        if has_begun(&folder) {
            train.arg("--resume").arg(&folder);
        } else {
            fs::write(&config, run.config().to_toml()).map_err(|e| format!("{}: {e}", config.display()))?;
            let _ = fs::remove_dir_all(&folder);
            train.arg("--config").arg(&config).arg("--data").arg(text).arg("--out").arg(&folder);
        }
        let log = self.arguments.runs.join(format!("{}.log", run.folder()));
        let output = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let errors = output.try_clone().map_err(|e| format!("{}: {e}", log.display()))?;
        let status = train.stdout(output).stderr(errors).status().map_err(|e| format!("{}: {e}", run.name()))?;
        if !status.success() {
            return Err(format!("{}: {status}; its output is in {}", run.name(), log.display()));
        }

        let latest = latest_good(&folder.join("checkpoints")).map_err(|e| e.to_string())?;
        let latest = latest.ok_or_else(|| format!("{}: no checkpoint", folder.display()))?;
        let checkpoint = latest.checkpoint.path();
        let (held_out, test) = match &self.texts.held_out {
            None => (None, self.loss(checkpoint, text, "test")?),
            Some([validation, test]) => (Some(self.loss(checkpoint, validation, "all")?), self.loss(checkpoint, test, "all")?),
        };
        let records = metrics::read(&folder.join(metrics::FILE_NAME)).map_err(|e| e.to_string())?;
        let last = records.last().ok_or_else(|| format!("{}: no metrics", folder.display()))?;
        let curve: Vec<_> = records.iter().filter_map(|r| Some((r.tokens?, r.validation_loss?))).collect();
        let tail = &records[records.len() - records.len().div_ceil(10)..];
        Ok(Outcome {
            name: run.name(),
            size: run.size.name.into(),
            arm: run.arm.name.into(),
            lr: run.lr,
            seed: run.seed,
            data: fingerprint.clone(),
            steps: run.steps,
            tokens: last.tokens.unwrap_or_default(),
            validation: held_out.or_else(|| Some(curve.last()?.1)).ok_or_else(|| format!("{}: no validation", folder.display()))?,
            test,
            saturation: last.saturation.unwrap_or_default(),
            flip_rate: tail.iter().filter_map(|r| r.flip_rate).sum::<f64>() / tail.len() as f64,
            seconds: last.seconds.unwrap_or_default(),
            device: Some(self.arguments.device.clone()).filter(|device| device != "cpu"),
            training: if held_out.is_some() { training_curve(&records) } else { Vec::new() },
            curve,
        })
    }

    /// Nats a byte of a text.
    fn loss(&self, checkpoint: &Path, text: &Path, split: &str) -> Result<f64> {
        let mut eval = Command::new(&self.arguments.program);
        eval.args(["eval", "--split", split, "--json", "--device", &self.arguments.device, "--checkpoint"]);
        eval.arg(checkpoint).arg("--data").arg(text);
        let output = eval.env("RAYON_NUM_THREADS", "1").output().map_err(|e| format!("{}: {e}", checkpoint.display()))?;
        let object: serde_json::Value = serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("{}: {e}\n{}", checkpoint.display(), String::from_utf8_lossy(&output.stderr)))?;
        object["nats_per_token"].as_f64().ok_or_else(|| format!("{}: no nats_per_token in {object}", checkpoint.display()))
    }
}

/// Means of the training loss over twentieths of a run.
fn training_curve(records: &[metrics::StepRecord]) -> Vec<(u64, f64)> {
    let parts = records.chunks(records.len().div_ceil(20).max(1));
    let point = |part: &[metrics::StepRecord]| {
        let losses: Vec<f64> = part.iter().map(|record| record.loss).collect();
        Some((part.last()?.tokens?, losses.iter().sum::<f64>() / losses.len() as f64))
    };
    parts.filter_map(point).collect()
}
