//! Runs in PyTorch: `peer.py` gets the model in floats, the tokens of every step, and the rates of the program's own schedule, and leaves floats, which are
//! measured as the program's own are.

use std::fs;
use std::iter::{repeat, repeat_n};
use std::path::{Path, PathBuf};
use std::process::Command;

use primal_engine::config::{ConfigOf, ModelTable, TextTable, TrainConfig};
use primal_engine::files::{self, TensorFile};
use primal_engine::memory::Plan;
use primal_engine::models::registry::{OnText, on_text};
use primal_engine::models::text::TextModel;
use primal_engine::optim::schedule::learning_rate;
use primal_engine::train::state;
use primal_engine::train::task::Draw;
use primal_engine::train::text::{TextSource, TextTask};
use primal_engine::train::trainer::Layout;
use primal_host::data::{Corpus, CorpusOptions, DataPaths, DocumentOptions, Documents, Room, Split, TextCodec, are_documents};
use serde::{Deserialize, Serialize};

use super::Result;
use super::adapters;
use super::arms::{Kind, SEQ_LEN};
use super::bench::{Bench, read, write};
use super::outcome::{Outcome, Run};
use super::program::{log, primal, text, watch};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/finetune/peer.py");
const WEIGHTS: &str = "model.safetensors";

/// What `peer.py` is told.
#[derive(Serialize)]
struct Job<'a> {
    /// A folder of transformers.
    model: &'a Path,
    /// Of u32: for each step, and then for each batch of validation, inputs, their targets, `u32::MAX` for none, and the numbers of their documents, none
    /// of which sees another.
    rows: &'a Path,
    seq_len: usize,
    threads: usize,
    seed: u64,
    /// Of adapters; 0 for training all weights.
    rank: usize,
    /// Of each step that is done.
    rates: Vec<f32>,
    beta1: f32,
    beta2: f32,
    clip: f32,
    weight_decay: f32,
    /// Steps from one validation to the next; 0 for none.
    validate_every: u64,
    /// A folder for the weights that come out.
    merged: Option<&'a Path>,
    /// A file for what it says, as JSON.
    result: &'a Path,
}

/// What it says.
#[derive(Deserialize)]
pub struct Said {
    /// Of a step: the median.
    pub seconds: f64,
    /// Resident at most while it trained.
    pub peak_mib: f64,
    pub curve: Vec<(u64, f64)>,
}

/// A run that has trained.
pub struct Trained {
    pub said: Said,
    /// Of adapters.
    rank: Option<usize>,
    /// Seen in all steps.
    tokens: u64,
}

/// What the program would train with, and on: its settings, and the rows of [`Job::rows`].
struct Settings<'a> {
    file: &'a dyn TensorFile,
    run: &'a Run,
    data: &'a str,
}

impl OnText for Settings<'_> {
    type Output = primal_host::Result<(TrainConfig, Rows)>;

    fn on<M: TextModel>(self) -> Self::Output {
        let config: ConfigOf<M::Config> = state::config_of(self.file)?;
        let Run { steps, lr, seed, .. } = *self.run;
        let train = TrainConfig { steps, lr, seed, batch: 1, seq_len: SEQ_LEN, ..config.model.fine_tuning() };
        let codec = TextCodec::of(config.model.tokenizer(), self.file)?;
        let sources = DataPaths::from(vec![self.data.to_owned()]);
        let rows = if are_documents(&sources)? {
            let layout = Layout::<TextTask<M>>::plan(&ConfigOf { train: train.clone(), ..config }, &mut Plan::default());
            let (room, held_out) = (Room::of(&layout.model), (Split::Validation, train.hold_out_test));
            let documents = Documents::open(&sources, &DocumentOptions { codec: &codec, template: None, room, held_out })?;
            rows(&documents, &train, self.run.done())
        } else {
            let corpus = Corpus::open_apart(&sources, codec, &CorpusOptions::default())?;
            corpus.require(1, SEQ_LEN)?;
            rows(&corpus, &train, self.run.done())
        };
        Ok((train, rows))
    }
}

/// The rows of [`Job::rows`], and how many tokens the steps see.
struct Rows {
    words: Vec<u32>,
    tokens: u64,
}

/// Those of so many steps, and of what is held back.
fn rows(source: &dyn TextSource, train: &TrainConfig, steps: u64) -> Rows {
    let (mut rows, mut index, mut learnt) = (Rows { words: Vec::new(), tokens: 0 }, 0, 0);
    for step in 0..steps {
        let mut row = Row::empty();
        source.sample(train.seed, Draw { step, micro_batch: 0, of: 1 }, SEQ_LEN, &mut row.inputs, &mut row.targets, &mut row.lengths);
        rows.tokens += row.tokens();
        rows.words.extend(row.words());
    }
    while learnt < train.validation_tokens {
        let mut row = Row::empty();
        if source.held_out(index, SEQ_LEN, &mut row.inputs, &mut row.targets, &mut row.lengths) == 0 {
            break;
        }
        learnt += row.targets.iter().filter(|&&token| token != u32::MAX).count() as u64;
        index += 1;
        rows.words.extend(row.words());
    }
    rows
}

/// A window, or documents and their lengths.
struct Row {
    inputs: Vec<u32>,
    targets: Vec<u32>,
    lengths: Vec<u32>,
}

impl Row {
    fn empty() -> Self {
        Self { inputs: vec![0; SEQ_LEN], targets: vec![u32::MAX; SEQ_LEN], lengths: Vec::new() }
    }

    fn tokens(&self) -> u64 {
        if self.lengths.is_empty() { SEQ_LEN as u64 } else { self.lengths.iter().map(|&len| u64::from(len)).sum() }
    }

    /// As in [`Job::rows`]. A window is one document, and so is what documents leave free.
    fn words(self) -> impl Iterator<Item = u32> {
        let free = self.lengths.len() as u32;
        let numbers = (0..).zip(self.lengths).flat_map(|(number, len)| repeat_n(number, len as usize));
        self.inputs.into_iter().chain(self.targets).chain(numbers.chain(repeat(free)).take(SEQ_LEN))
    }
}

impl Bench<'_> {
    /// Trains in PyTorch and measures what comes out, if anything does.
    pub fn peer(&self, run: &Run, python: &Path) -> Result<Outcome> {
        let folder = self.folder.join(run.folder());
        let Trained { said, rank, tokens } = self.train_peer(run, python, &folder, true)?;
        let outcome = Outcome {
            steps: run.done(),
            tokens,
            seconds: said.seconds,
            threads: self.threads,
            peak_mib: said.peak_mib,
            rank,
            ..run.outcome(&self.fingerprint)
        };
        if run.arm.kind == Kind::TorchCost {
            return Ok(outcome);
        }
        let (floats, merged) = (folder.join("floats"), folder.join("merged.safetensors"));
        primal(&["import", "model", text(&floats)?, "--as-is", "--no-loss", "--out", text(&merged)?])?;
        let (_, validation) = *said.curve.last().ok_or("peer.py has not validated")?;
        let outcome = Outcome { validation, curve: said.curve, ..outcome };
        let outcome = self.rounded(&floats, &folder.join("rounded.safetensors"), self.measured(&merged, outcome)?)?;
        let _ = fs::remove_dir_all(folder);
        Ok(outcome)
    }

    /// Trains in PyTorch. Adapters are validated and merged where that is asked for.
    pub fn train_peer(&self, run: &Run, python: &Path, folder: &Path, is_kept: bool) -> Result<Trained> {
        let model = self.floats_of_model()?;
        let rank = if run.arm.kind == Kind::Adapters { Some(rank(&model.join(WEIGHTS))?) } else { None };
        let floats = folder.join("floats");
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(&floats).map_err(|e| format!("{}: {e}", floats.display()))?;
        for entry in fs::read_dir(&model).map_err(|e| format!("{}: {e}", model.display()))?.flatten() {
            if entry.file_name() != WEIGHTS {
                fs::copy(entry.path(), floats.join(entry.file_name())).map_err(|e| format!("{}: {e}", floats.display()))?;
            }
        }
        let is_kept = is_kept && rank.is_some();
        let file = files::open(&self.model).map_err(|e| e.to_string())?;
        let architecture = state::architecture(&*file).map_err(|e| e.to_string())?;
        let settings = on_text(&architecture, Settings { file: &*file, run, data: text(&self.texts[0])? });
        let (train, rows) = settings.ok_or_else(|| format!("{architecture}: no model of text"))?.map_err(|e| e.to_string())?;
        let [path, job, result] = ["rows.u32", "job.json", "result.json"].map(|name| folder.join(name));
        write(&path, bytemuck::cast_slice(&rows.words))?;
        let described = Job {
            model: &model,
            rows: &path,
            seq_len: SEQ_LEN,
            threads: self.threads,
            seed: run.seed,
            rank: rank.unwrap_or(0),
            rates: (0..run.done()).map(|step| learning_rate(&train, step)).collect(),
            beta1: train.beta1,
            beta2: train.beta2,
            clip: train.clip,
            weight_decay: train.weight_decay,
            validate_every: if is_kept { (run.steps / 5).max(1) } else { 0 },
            merged: is_kept.then_some(&*floats),
            result: &result,
        };
        write(&job, serde_json::to_vec(&described).expect("plain data"))?;
        let mut command = Command::new(python);
        command.arg(SCRIPT).arg(&job).env("TRANSFORMERS_VERBOSITY", "error");
        watch(&mut command, &log(folder))?;
        let said = serde_json::from_str(&read(&result)?).map_err(|e| format!("{}: {e}", result.display()))?;
        Ok(Trained { said, rank, tokens: rows.tokens })
    }

    /// The model as floats, for transformers.
    fn floats_of_model(&self) -> Result<PathBuf> {
        let folder = self.folder.join("floats");
        if !folder.join(WEIGHTS).exists() {
            // A name of its own until it is whole.
            let part = folder.with_extension("part");
            let _ = fs::remove_dir_all(&part);
            primal(&["export", "hf", text(&self.model)?, "--floats", "F32", "--out", text(&part)?])?;
            fs::rename(&part, &folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        Ok(folder)
    }
}

/// The rank of adapters on the matrices of a model.
fn rank(weights: &Path) -> Result<usize> {
    let file = files::open(weights).map_err(|e| e.to_string())?;
    let mut shapes = Vec::new();
    for name in file.names() {
        let tensor = file.view(name).map_err(|e| e.to_string())?;
        if adapters::is_adapted(name, tensor.shape) {
            shapes.push([tensor.shape[0], tensor.shape[1]]);
        }
    }
    match adapters::rank(&shapes) {
        0 => Err(format!("{}: too small for adapters of equal bytes", weights.display())),
        rank => Ok(rank),
    }
}
