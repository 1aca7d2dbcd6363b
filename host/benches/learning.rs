//! How well each update rule and grid learns, against its float twin: the same model, data order and number of tokens for every arm.
//!
//! Each run is a run folder of `primal-host train`, so it resumes after an interruption and has a report of its own. A run's figures are
//! appended to a results file as one JSON object; runs that the file has are not repeated. First the learning rate of each arm is chosen on
//! the validation split, with an equal budget; the figures of the long runs are on the test split, which no choice has seen.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use argh::FromArgs;
use primal_device::grid::GridId;
use primal_host::checkpoint::latest_good;
use primal_host::config::{Config, Flips, ModelConfig, Rule, TrainConfig};
use primal_host::data::{Corpus, CorpusOptions, Split, Tokenizer};
use primal_host::train::metrics;
use primal_host::train::report::chart::LineChart;
use serde::{Deserialize, Serialize};

/// train every arm on the same text and compare; without --data: print the results that are there
#[derive(FromArgs)]
struct Arguments {
    /// text to learn; the committed results are for the six novels of Jane Austen
    #[argh(option)]
    data: Option<PathBuf>,
    /// only runs whose name contains this; may be repeated
    #[argh(option)]
    only: Vec<String>,
    /// runs at a time, one thread each (default: all cores)
    #[argh(option)]
    jobs: Option<usize>,
    /// folder of the runs (default: target/learning)
    #[argh(option, default = "default_runs()")]
    runs: PathBuf,
    /// results file (default: models/learning/results.jsonl)
    #[argh(option, default = "default_results()")]
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

fn default_runs() -> PathBuf {
    root().join("target/learning")
}

fn default_results() -> PathBuf {
    root().join("models/learning/results.jsonl")
}

/// One size of the model, and how long it learns.
struct Size {
    name: &'static str,
    dim: usize,
    layers: usize,
    heads: usize,
    steps: u64,
    seeds: &'static [u64],
    /// The learning rates among which each tuned arm chooses.
    lrs: &'static [f32],
    arms: &'static [Arm],
}

/// Sequences and tokens of a step.
const BATCH: usize = 16;
const SEQ_LEN: usize = 128;
/// Steps of a run that chooses a learning rate: a million bytes.
const TUNING_STEPS: u64 = 490;
const TUNING_SEED: u64 = 100;

const SIZES: [Size; 2] = [
    // 5.0 million bytes.
    Size {
        name: "0.5M",
        dim: 96,
        layers: 4,
        heads: 3,
        steps: 2442,
        seeds: &[1, 2, 3],
        lrs: &[2e-3, 4e-3, 8e-3, 1.6e-2],
        arms: &[
            Arm::VOTES,
            Arm::QAT,
            Arm::ADAMW,
            Arm::POLTERGEIST,
            Arm::FOUR_BITS,
            Arm::PRIME13,
            Arm::PRIME15,
            Arm::FINE15,
            Arm::SEED,
            Arm::SEED_RESCALED,
            Arm::HALF_KAPPA,
            Arm::FULL_SCALES,
            Arm::FROZEN_SCALES,
            Arm::MICRO_BATCHES,
            Arm::MICRO_FLIPS,
        ],
    },
    // 10.0 million bytes.
    Size {
        name: "2M",
        dim: 192,
        layers: 4,
        heads: 6,
        steps: 4883,
        seeds: &[1],
        lrs: &[3e-3, 6e-3, 1.2e-2],
        arms: &[
            Arm::VOTES,
            Arm::QAT,
            Arm::ADAMW,
            Arm::POLTERGEIST,
            Arm::FOUR_BITS,
            Arm::PRIME13,
            Arm::PRIME15,
            Arm::FINE15,
            Arm::SEED,
            Arm::SEED_RESCALED,
            Arm::HALF_KAPPA,
            Arm::FULL_SCALES,
            Arm::MICRO_FLIPS,
        ],
    },
];

/// What is compared.
#[derive(Clone, Copy)]
struct Arm {
    name: &'static str,
    rule: Rule,
    grid: GridId,
    last_grid: Option<GridId>,
    /// The arm whose learning rate it takes; its own name if it is tuned itself.
    tuned_as: &'static str,
    adjust: fn(&mut TrainConfig),
    /// Whether it runs with all seeds.
    all_seeds: bool,
}

impl Arm {
    const VOTES: Self = Self {
        name: "votes, uniform15",
        rule: Rule::Votes,
        grid: GridId::Uniform15,
        last_grid: None,
        tuned_as: "votes, uniform15",
        adjust: |_| {},
        all_seeds: true,
    };
    /// Learns better with fast scales, as the seed's rule is defined with them.
    const QAT: Self =
        Self { name: "qat, uniform15", rule: Rule::Qat, tuned_as: "qat, uniform15", adjust: |t| t.scale_lr = 1.0, ..Self::VOTES };
    const ADAMW: Self = Self { name: "adamw, float", rule: Rule::Adamw, tuned_as: "adamw, float", ..Self::VOTES };
    const POLTERGEIST: Self =
        Self { name: "poltergeist, uniform15", rule: Rule::Poltergeist, tuned_as: "poltergeist, uniform15", ..Self::QAT };
    const FOUR_BITS: Self = Self { name: "votes of 4 bits, uniform15", adjust: |t| t.votes = votes(4), ..Self::VOTES };
    const PRIME13: Self =
        Self { name: "votes, prime13", grid: GridId::Prime13, tuned_as: "votes, prime13", all_seeds: false, ..Self::VOTES };
    const PRIME15: Self = Self { name: "votes, prime15", grid: GridId::Prime15, ..Self::PRIME13 };
    const FINE15: Self = Self { name: "votes, fine15", grid: GridId::Fine15, tuned_as: "votes, uniform15", ..Self::PRIME13 };
    const SEED: Self = Self { name: "votes, prime13 + fine15", last_grid: Some(GridId::Fine15), ..Self::PRIME13 };
    const SEED_RESCALED: Self = Self { name: "votes, prime13 + fine15, rows re-scaled", adjust: |t| t.rescale_every = 50, ..Self::SEED };
    const HALF_KAPPA: Self = Self { name: "votes, uniform15, kappa 0.5", adjust: |t| t.kappa = 0.5, all_seeds: false, ..Self::VOTES };
    const FULL_SCALES: Self =
        Self { name: "votes, uniform15, scales ten times as fast", adjust: |t| t.scale_lr = 1.0, all_seeds: false, ..Self::VOTES };
    const FROZEN_SCALES: Self =
        Self { name: "votes, uniform15, scales frozen", adjust: |t| t.scale_lr = 0.0, all_seeds: false, ..Self::VOTES };
    const MICRO_BATCHES: Self =
        Self { name: "votes, uniform15, 4 micro-batches", adjust: |t| split(t, Flips::Step), all_seeds: false, ..Self::VOTES };
    const MICRO_FLIPS: Self = Self {
        name: "votes, uniform15, 4 micro-batches, flips after each",
        adjust: |t| split(t, Flips::MicroBatch),
        ..Self::MICRO_BATCHES
    };

    fn is_tuned(&self) -> bool {
        self.tuned_as == self.name
    }
}

fn votes(bits: i64) -> primal_device::vote::VoteBits {
    primal_host::config::votes_of(bits).expect("4 or 8")
}

/// The same batch in four parts.
fn split(t: &mut TrainConfig, flips: Flips) {
    (t.batch, t.grad_accum, t.flips) = (t.batch / 4, 4, flips);
}

/// One run of an arm.
struct Run {
    size: &'static Size,
    arm: Arm,
    lr: f32,
    seed: u64,
    steps: u64,
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
        let Arm { grid, last_grid, rule, .. } = self.arm;
        let mut train = TrainConfig {
            optimizer: rule,
            steps: self.steps,
            batch: BATCH,
            seq_len: SEQ_LEN,
            lr: self.lr,
            warmup: 50,
            seed: self.seed,
            hold_out_test: true,
            validate_every: self.steps.div_ceil(20),
            validation_tokens: 32768,
            sample_every: 0,
            checkpoint_every: self.steps.div_ceil(10),
            keep: 1,
            ..TrainConfig::default()
        };
        (self.arm.adjust)(&mut train);
        Config { model: ModelConfig { dim, layers, heads, context: SEQ_LEN, tokenizer: Tokenizer::Bytes, grid, last_grid }, train }
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
    /// Fingerprint of the text.
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
    /// (tokens, validation loss).
    curve: Vec<(u64, f64)>,
}

fn main() {
    if let Err(message) = run(&argh::from_env()) {
        eprintln!("learning: {message}");
        std::process::exit(1);
    }
}

type Result<T> = std::result::Result<T, String>;

fn run(arguments: &Arguments) -> Result<()> {
    let results = Results::open(&arguments.results)?;
    if let Some(data) = &arguments.data {
        let options = CorpusOptions { hold_out_test: true, ..CorpusOptions::default() };
        let corpus = Corpus::open(&[data.display().to_string()], Tokenizer::Bytes, &options).map_err(|e| e.to_string())?;
        println!("{}", corpus.describe());
        println!("a test split of {} bytes is held out for the final figures", corpus.tokens(Split::Test));
        let bench = Bench { arguments, data, fingerprint: format!("{:016x}", corpus.fingerprint()), results: &results };
        for phase in [tuning_runs, final_runs] {
            bench.all(&phase(&results.outcomes()))?;
        }
    } else {
        println!("no --data: these are the results in {}", arguments.results.display());
    }
    report(&results.outcomes(), arguments.results.parent().expect("a folder"))
}

fn tuning_runs(_: &[Outcome]) -> Vec<Run> {
    let arms = SIZES.iter().flat_map(|size| size.arms.iter().filter(|arm| arm.is_tuned()).map(move |arm| (size, *arm)));
    let runs = arms.flat_map(|(size, arm)| size.lrs.iter().map(move |&lr| Run { size, arm, lr, seed: TUNING_SEED, steps: TUNING_STEPS }));
    runs.collect()
}

/// The long runs of all arms whose learning rate is known, one seed of all before the next.
fn final_runs(outcomes: &[Outcome]) -> Vec<Run> {
    let mut runs = Vec::new();
    for size in &SIZES {
        for (i, &seed) in size.seeds.iter().enumerate() {
            let arms = size.arms.iter().filter(|arm| arm.all_seeds || i == 0);
            runs.extend(arms.filter_map(|&arm| Some(Run { size, arm, lr: tuned_lr(outcomes, size, arm)?, seed, steps: size.steps })));
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
        let text = if file.exists() { fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))? } else { String::new() };
        let lines = text.lines().enumerate().map(|(i, line)| {
            serde_json::from_str(line)
                .map_err(|e| format!("{}, line {}: {e}; remove the line, and its run is repeated", file.display(), i + 1))
        });
        Ok(Self { outcomes: Mutex::new(lines.collect::<Result<_>>()?), file: file.to_path_buf() })
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.outcomes.lock().expect("no panic").clone()
    }

    fn add(&self, outcome: Outcome) -> Result<()> {
        let mut outcomes = self.outcomes.lock().expect("no panic");
        let fail = |e: std::io::Error| format!("{}: {e}", self.file.display());
        fs::create_dir_all(self.file.parent().expect("a folder")).map_err(fail)?;
        let mut file = OpenOptions::new().create(true).append(true).open(&self.file).map_err(fail)?;
        let line = serde_json::to_string(&outcome).expect("plain data");
        file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(fail)?;
        outcomes.push(outcome);
        Ok(())
    }
}

struct Bench<'a> {
    arguments: &'a Arguments,
    data: &'a Path,
    fingerprint: String,
    results: &'a Results,
}

impl Bench<'_> {
    /// Does the runs that the results lack, several at a time.
    fn all(&self, runs: &[Run]) -> Result<()> {
        let outcomes = self.results.outcomes();
        if let Some(other) = outcomes.iter().find(|o| o.data != self.fingerprint) {
            return Err(format!(
                "the results are for the text {}, --data has {}; give another --results file",
                other.data, self.fingerprint
            ));
        }
        let wanted = |run: &&Run| {
            let name = run.name();
            let only = &self.arguments.only;
            outcomes.iter().all(|o| o.name != name) && (only.is_empty() || only.iter().any(|part| name.contains(part.as_str())))
        };
        let missing: Vec<_> = runs.iter().filter(wanted).collect();
        if self.arguments.list {
            missing.iter().for_each(|run| println!("missing: {}", run.name()));
            return Ok(());
        }
        let jobs = self.arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
        let queue = Mutex::new(missing.into_iter());
        std::thread::scope(|scope| {
            let work = || -> Result<()> {
                loop {
                    let next = queue.lock().expect("no panic").next();
                    let Some(run) = next else { return Ok(()) };
                    let start = Instant::now();
                    let outcome = self.one(run)?;
                    let Outcome { name, validation, test, .. } = &outcome;
                    println!("{name}: validation {validation:.4}, test {test:.4} ({:.0} s)", start.elapsed().as_secs_f64());
                    self.results.add(outcome)?;
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
        let mut train = Command::new(env!("CARGO_BIN_EXE_primal-host"));
        train.args(["train", "--threads", "1"]);
        if folder.join("checkpoints").exists() {
            train.arg("--resume").arg(&folder);
        } else {
            fs::write(&config, run.config().to_toml()).map_err(|e| format!("{}: {e}", config.display()))?;
            let _ = fs::remove_dir_all(&folder);
            train.arg("--config").arg(&config).arg("--data").arg(self.data).arg("--out").arg(&folder);
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
        let test = self.test_loss(latest.checkpoint.path())?;
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
            data: self.fingerprint.clone(),
            steps: run.steps,
            tokens: last.tokens.unwrap_or_default(),
            validation: curve.last().ok_or_else(|| format!("{}: no validation", folder.display()))?.1,
            test,
            saturation: last.saturation.unwrap_or_default(),
            flip_rate: tail.iter().filter_map(|r| r.flip_rate).sum::<f64>() / tail.len() as f64,
            seconds: last.seconds.unwrap_or_default(),
            curve,
        })
    }

    fn test_loss(&self, checkpoint: &Path) -> Result<f64> {
        let mut eval = Command::new(env!("CARGO_BIN_EXE_primal-host"));
        eval.args(["eval", "--split", "test", "--json", "--checkpoint"]).arg(checkpoint).arg("--data").arg(self.data);
        let output = eval.env("RAYON_NUM_THREADS", "1").output().map_err(|e| format!("{}: {e}", checkpoint.display()))?;
        let object: serde_json::Value = serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("{}: {e}\n{}", checkpoint.display(), String::from_utf8_lossy(&output.stderr)))?;
        object["nats_per_token"].as_f64().ok_or_else(|| format!("{}: no nats_per_token in {object}", checkpoint.display()))
    }
}

/// Mean and sample standard deviation.
fn mean_and_deviation(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()))
}

/// Prints a table of each size and draws its curves beside the results file.
fn report(outcomes: &[Outcome], folder: &Path) -> Result<()> {
    for size in &SIZES {
        let finals: Vec<_> = outcomes.iter().filter(|o| o.size == size.name && o.steps == size.steps).collect();
        let mut arms: BTreeMap<usize, Vec<&Outcome>> = BTreeMap::new();
        for outcome in finals {
            if let Some(index) = size.arms.iter().position(|arm| arm.name == outcome.arm) {
                arms.entry(index).or_default().push(outcome);
            }
        }
        if arms.is_empty() {
            continue;
        }
        let of = |arm: &str, value: fn(&Outcome) -> f64| {
            let index = size.arms.iter().position(|a| a.name == arm)?;
            Some(mean_and_deviation(&arms.get(&index)?.iter().map(|o| value(o)).collect::<Vec<_>>()).0)
        };
        let float = of(Arm::ADAMW.name, |o| o.test);
        let mut table =
            String::from("| arm | learning rate | validation | test | test against float | at a rail | flips a step | seeds |\n");
        table += "|---|---|---|---|---|---|---|---|\n";
        for runs in arms.values() {
            let mean = |value: fn(&Outcome) -> f64| mean_and_deviation(&runs.iter().map(|o| value(o)).collect::<Vec<_>>());
            let (test, deviation) = mean(|o| o.test);
            let deviation = deviation.map_or(String::new(), |d| format!(" ± {d:.4}"));
            let against = float.map_or("".into(), |float| format!("{:+.2} %", (test / float - 1.0) * 100.0));
            let is_grid = size.arms.iter().any(|a| a.name == runs[0].arm && a.rule != Rule::Adamw);
            let share = |value, digits| if is_grid { format!("{:.digits$} %", value * 100.0) } else { "–".into() };
            let (rail, flips) = (share(mean(|o| o.saturation).0, 0), share(mean(|o| o.flip_rate).0, 2));
            let first = runs[0];
            writeln!(
                table,
                "| {} | {} | {:.4} | {test:.4}{deviation} | {against} | {rail} | {flips} | {} |",
                first.arm,
                first.lr,
                mean(|o| o.validation).0,
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
        for runs in arms.values().filter(|runs| size.arms.iter().any(|a| a.name == runs[0].arm && (a.is_tuned() || a.last_grid.is_some())))
        {
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
