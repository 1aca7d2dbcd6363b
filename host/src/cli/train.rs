//! `primal-host train`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use argh::FromArgs;
use primal_device::grid::GridId;

use crate::arena;
use crate::backend::{Backend, Device};
use crate::checkpoint::{Latest, Retention, latest_good};
use crate::config::{self, Config, votes_of};
use crate::data::{Corpus, CorpusOptions, Split, Tokenizer};
use crate::durable;
use crate::run::sample::{Sampling, generate};
use crate::run::state;
use crate::train::metrics::{MetricsWriter, StepRecord};
use crate::train::progress::Progress;
use crate::train::report::write_report;
use crate::train::tensorboard::TensorBoardWriter;
use crate::train::trainer::{Layout, Trainer};
use crate::{Error, Result};

use super::device::{self, DeviceName, Work};
use super::limits;
use super::output::{print, warn};

/// Threads of a pool, at most: each has its stack and a share of the plan.
const MAX_THREADS: usize = 1024;

/// Records with levels and scales of every layer, in all.
const LAYER_RECORDS: u64 = 100;

/// train a model; without flags: a small one on generated stories
#[derive(FromArgs)]
#[argh(subcommand, name = "train")]
pub struct Train {
    /// configuration: gpt-nano, gpt-small-cpu (default), gpt-0.1b, or a .toml file
    #[argh(option)]
    config: Option<String>,
    /// text files or folders, or "stories" (default); may be repeated
    #[argh(option)]
    data: Vec<String>,
    /// bytes or gpt2
    #[argh(option)]
    tokenizer: Option<String>,
    /// votes (default), poltergeist, qat or adamw
    #[argh(option)]
    optimizer: Option<String>,
    /// grid: prime13, prime15, fine15 or uniform15
    #[argh(option)]
    grid: Option<String>,
    /// bits of a vote: 8 (default) or 4
    #[argh(option)]
    votes: Option<i64>,
    /// sequences of a micro-batch
    #[argh(option)]
    batch: Option<usize>,
    /// tokens of a sequence
    #[argh(option)]
    seq_len: Option<usize>,
    /// micro-batches a step
    #[argh(option)]
    grad_accum: Option<u32>,
    /// steps in all
    #[argh(option)]
    steps: Option<u64>,
    /// peak learning rate
    #[argh(option)]
    lr: Option<f32>,
    /// steps of linear warm-up
    #[argh(option)]
    warmup: Option<u64>,
    /// seed of start values, data order and flips
    #[argh(option)]
    seed: Option<u64>,
    /// save every so many steps
    #[argh(option)]
    checkpoint_every: Option<u64>,
    /// folder of the new run (default: runs/<configuration>)
    #[argh(option)]
    out: Option<PathBuf>,
    /// folder of a run to continue with its own configuration
    #[argh(option)]
    resume: Option<PathBuf>,
    /// device: cpu (default) or cuda
    #[argh(option, default = "DeviceName::default()")]
    device: DeviceName,
    /// threads (default: all cores)
    #[argh(option)]
    threads: Option<usize>,
}

impl Train {
    /// Trains.
    ///
    /// # Errors
    /// Bad flags, configuration, data or run folder; a gradient that is not finite; a checkpoint that cannot be written.
    pub fn run(self) -> Result<()> {
        in_pool(self.threads, || device::run(self.device, &self))
    }

    fn configured(&self) -> Result<Config> {
        let name = self.config.as_deref().unwrap_or(config::DEFAULT);
        let mut config = Config::load(name)?;
        if let Some(tokenizer) = &self.tokenizer {
            config.model.tokenizer = Tokenizer::from_name(tokenizer, "--tokenizer")?;
        }
        let t = &mut config.train;
        if let Some(rule) = &self.optimizer {
            let expected = "votes, poltergeist, qat or adamw";
            t.optimizer = config::rule(rule).ok_or_else(|| Error::bad_input("--optimizer", expected, rule, "name one of them"))?;
        }
        if let Some(grid) = &self.grid {
            let expected = "prime13, prime15, fine15 or uniform15";
            config.model.grid = GridId::from_name(grid).ok_or_else(|| Error::bad_input("--grid", expected, grid, "name one of them"))?;
        }
        if let Some(bits) = self.votes {
            t.votes = votes_of(bits).ok_or_else(|| Error::bad_input("--votes", "4 or 8", bits, "give one of them"))?;
        }
        t.batch = self.batch.unwrap_or(t.batch);
        t.seq_len = self.seq_len.unwrap_or(t.seq_len);
        t.grad_accum = self.grad_accum.unwrap_or(t.grad_accum);
        t.steps = self.steps.unwrap_or(t.steps);
        t.lr = self.lr.unwrap_or(t.lr);
        t.warmup = self.warmup.unwrap_or(t.warmup);
        t.seed = self.seed.unwrap_or(t.seed);
        t.checkpoint_every = self.checkpoint_every.unwrap_or(t.checkpoint_every);
        config.check(name)?;
        Ok(config)
    }

    /// The flags given that a run in progress cannot take.
    fn flags_of_a_new_run(&self) -> Vec<&'static str> {
        let flags = [
            ("--config", self.config.is_some()),
            ("--tokenizer", self.tokenizer.is_some()),
            ("--optimizer", self.optimizer.is_some()),
            ("--grid", self.grid.is_some()),
            ("--votes", self.votes.is_some()),
            ("--batch", self.batch.is_some()),
            ("--seq-len", self.seq_len.is_some()),
            ("--grad-accum", self.grad_accum.is_some()),
            ("--steps", self.steps.is_some()),
            ("--lr", self.lr.is_some()),
            ("--warmup", self.warmup.is_some()),
            ("--seed", self.seed.is_some()),
            ("--checkpoint-every", self.checkpoint_every.is_some()),
            ("--out", self.out.is_some()),
        ];
        flags.iter().filter(|(_, given)| *given).map(|(flag, _)| *flag).collect()
    }

    /// The run's folder and configuration.
    fn run_folder(&self) -> Result<(PathBuf, Config)> {
        let Some(run) = &self.resume else {
            let stem = Path::new(self.config.as_deref().unwrap_or(config::DEFAULT)).file_stem().unwrap_or_default();
            let run = self.out.clone().unwrap_or_else(|| free_folder(&format!("runs/{}", stem.display())));
            require_new(&run)?;
            return Ok((run, self.configured()?));
        };
        let flags = self.flags_of_a_new_run();
        if !flags.is_empty() {
            let hint = "with --resume give only --data, --device and --threads: a run goes on as it was begun";
            return Err(Error::bad_input("--resume", "no flag that changes the run", flags.join(", "), hint));
        }
        let file = run.join("config.toml");
        if !file.is_file() {
            let hint = "give the folder that `train` named when the run began; if it ended before that, begin it anew";
            return Err(Error::bad_input("--resume", "the folder of a run", format!("no file {}", file.display()), hint));
        }
        Ok((run.clone(), Config::load(&file.display().to_string())?))
    }
}

impl Work for Train {
    fn run_on<D: Device>(&self) -> Result<()> {
        let (run, config) = self.run_folder()?;
        let t = config.train.clone();
        let sources_file = run.join("data.json");
        let sources = match &self.resume {
            Some(_) if self.data.is_empty() => read_sources(&sources_file)?,
            None if self.data.is_empty() => vec!["stories".to_string()],
            _ => self.data.clone(),
        };
        let mut plan = arena::Plan::default();
        let layout = Layout::plan(&config, &mut plan);
        limits::require::<D>(&plan, "lower --batch or --seq-len, or use a smaller model")?;
        let options = CorpusOptions { cache: Some(run.clone()), hold_out_test: t.hold_out_test, ..CorpusOptions::default() };
        let opened = Corpus::open(&sources, config.model.tokenizer, &options);
        let corpus = if self.resume.is_none() { opened.map_err(unwritable_out) } else { opened }?;
        corpus.require(t.batch, t.seq_len)?;
        if self.resume.is_none() {
            create_run(&run, &config, &sources_file, &sources).map_err(unwritable_out)?;
        }

        let mut retention = Retention::open(run.join("checkpoints"), t.keep)?;
        let backend = D::open(&mut plan)?;
        let mut trainer = Trainer::new(config, layout, backend);
        match if self.resume.is_some() { latest_good(retention.folder())? } else { None } {
            Some(latest) => resume(&mut trainer, &latest, &corpus)?,
            None => trainer.initialise(),
        }
        let done = trainer.step;
        let mut metrics = if self.resume.is_some() { MetricsWriter::resume(&run, done)? } else { MetricsWriter::create(&run)? };
        let mut events = TensorBoardWriter::create(&run, done)?;
        let mut progress = Progress::new(t.steps, done);
        let weights = trainer.layout.parameters.specs.matrix_weights();
        progress.print(&corpus.describe());
        progress.print(&format!(
            "{weights} weights in linear layers, {:.3} bytes of codes and votes each; {:.1} MiB planned; run folder {}",
            trainer.grid_state_bytes() as f64 / weights as f64,
            plan.total_bytes() as f64 / f64::from(1 << 20),
            run.display()
        ));
        let stop = stop_on_signals()?;
        let (start, tokens) = (Instant::now(), (t.batch * t.seq_len) as u64 * u64::from(t.grad_accum));
        while trainer.step < t.steps && !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            let stats = trainer.step(&corpus)?;
            let (step, seconds) = (trainer.step, began.elapsed().as_secs_f64());
            let due = |every: u64| step == t.steps || (every > 0 && step.is_multiple_of(every));
            let validation_loss =
                if due(t.validate_every) { Some(trainer.validate(&corpus, Split::Validation, t.validation_tokens)?) } else { None };
            let record = StepRecord {
                step,
                loss: stats.loss,
                tokens_per_second: Some(tokens as f64 / seconds),
                flip_rate: Some(stats.flip_rate),
                learning_rate: Some(stats.learning_rate),
                tokens: Some(step * tokens),
                grad_norm: Some(stats.grad_norm),
                saturation: Some(stats.saturation),
                seconds: Some(start.elapsed().as_secs_f64()),
                validation_loss,
                layers: (step == 1 || due((t.steps / LAYER_RECORDS).max(1))).then(|| trainer.layers()),
            };
            metrics.write(&record)?;
            events.write(&record)?;
            progress.step(&record);
            if let Some(loss) = validation_loss {
                progress.validation(step, loss);
            }
            if due(t.sample_every) {
                progress.sample(step, &sample(&mut trainer, &sources));
            }
            if due(t.checkpoint_every) || stop.load(Ordering::Relaxed) {
                state::checkpoint(&mut trainer, &corpus, |metadata, tensors| retention.save(step, validation_loss, metadata, tensors))?;
            }
        }
        progress.finish();
        if trainer.step < t.steps {
            warn(format!("stopped after step {}; continue with: primal-host train --resume {}", trainer.step, run.display()));
        }
        print(format!("report: {}", write_report(&run)?.display()))
    }
}

/// Set by SIGINT or SIGTERM; a second signal ends the process.
fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|e| Error::failed(format!("catching signals: {e}"), "run it where signals can be caught"))?;
    }
    Ok(stop)
}

fn sample(trainer: &mut Trainer<impl Backend>, sources: &[String]) -> String {
    let prompt = if sources == ["stories"] { "Once upon a time" } else { "\n" };
    let mut text = prompt.trim_start().to_string();
    let sampling = Sampling { temperature: 0.7, top_p: 0.9, seed: trainer.step };
    let (layout, tokenizer) = (&trainer.layout, trainer.config.model.tokenizer);
    generate(&mut trainer.backend, &layout.parameters, &layout.sampler, tokenizer, prompt, 300, sampling, |piece| text.push_str(piece));
    text
}

/// Runs on a pool of so many threads, so that every op finds itself inside of it.
///
/// # Errors
/// No threads.
pub(super) fn in_pool<T: Send>(threads: Option<usize>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if let Some(count) = threads.filter(|count| !(1..=MAX_THREADS).contains(count)) {
        return Err(Error::bad_input("--threads", format!("1 to {MAX_THREADS}"), count, "leave it out to use all cores"));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).build();
    pool.map_err(|e| Error::failed(format!("starting threads: {e}"), "give fewer with --threads"))?.install(work)
}

fn free_folder(stem: &str) -> PathBuf {
    let names = std::iter::once(stem.to_string()).chain((2..).map(|n| format!("{stem}-{n}")));
    names.map(PathBuf::from).find(|path| !path.exists()).expect("some number is free")
}

/// Goes back to a checkpoint of the same run.
fn resume(trainer: &mut Trainer<impl Backend>, latest: &Latest, corpus: &Corpus) -> Result<()> {
    latest.skipped.iter().for_each(|warning| warn(format!("warning: {warning}")));
    let (found, now) = (latest.checkpoint.meta("data_fingerprint")?, format!("{:016x}", corpus.fingerprint()));
    if found != now {
        return Err(Error::bad_input("--data", format!("the text of the run ({found})"), now, "give the same text as at the start"));
    }
    state::load(&mut trainer.backend, &state::tensors(&trainer.layout), &latest.checkpoint)?;
    trainer.step = latest.checkpoint.parse_meta("step")?;
    Ok(())
}

/// Refuses a folder that cannot become that of a new run.
fn require_new(run: &Path) -> Result<()> {
    let hint = "give a new folder, or one without a run";
    if run.as_os_str().is_empty() {
        return Err(Error::bad_input("--out", "a folder", "an empty path", hint));
    }
    if run.exists() && !run.is_dir() {
        return Err(Error::bad_input("--out", "a folder", format!("a file, {}", run.display()), hint));
    }
    if run.join("config.toml").exists() {
        let hint = format!("continue it with --resume {}, or give another folder with --out", run.display());
        return Err(Error::bad_input("--out", "a new folder", format!("a run in {}", run.display()), hint));
    }
    Ok(())
}

/// Makes the folder and the files that `--resume` needs; `config.toml`, which makes it a run, comes last.
fn create_run(run: &Path, config: &Config, sources_file: &Path, sources: &[String]) -> Result<()> {
    fs::create_dir_all(run).map_err(|error| durable::write_error(run, 0, error))?;
    durable::write(sources_file, serde_json::to_string(sources).expect("strings").as_bytes())?;
    durable::write(&run.join("config.toml"), config.to_toml().as_bytes())
}

/// While a new run is made, a path that cannot be written is a wrong `--out`; a full disk is not.
fn unwritable_out(error: Error) -> Error {
    match error {
        Error::Io { action: "writing", source, path, .. } if !durable::is_full(&source) => {
            Error::bad_input("--out", "a folder that can be made and written", format!("{path}: {source}"), "give another")
        }
        error => error,
    }
}

fn read_sources(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).map_err(|e| Error::io("reading", path, e, "give the data of the run with --data"))?;
    serde_json::from_str(&text)
        .map_err(|e| Error::bad_input(path.display(), "a JSON list of paths", e, "give the data of the run with --data"))
}
