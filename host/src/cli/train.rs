//! `primal-host train`.

use std::path::PathBuf;

use argh::FromArgs;
use primal_device::grid::GridId;

use crate::arena;
use crate::backend::{Backend, Device};
use crate::config::{self, Config, votes_of};
use crate::data::{Corpus, CorpusOptions, Tokenizer};
use crate::run::sample::{Sampling, generate};
use crate::train::trainer::{Layout, Trainer};
use crate::{Error, Result};

use super::device::{self, DeviceName, Work};
use super::limits;
use super::run_folder::{create_run, new_folder, read_sources, resumed_folder, unwritable_out};
use super::threads::in_pool;
use super::training::{self, Start};

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
        match &self.resume {
            None => new_folder(self.out.as_deref(), self.config.as_deref().unwrap_or(config::DEFAULT), || self.configured()),
            Some(run) => resumed_folder(run, &self.flags_of_a_new_run()),
        }
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

        let start = Start { run: &run, resumed: self.resume.is_some(), plan, layout };
        training::train::<D, _>(start, config, &corpus, &corpus.describe(), |trainer, progress| {
            progress.sample(trainer.step, &sample(trainer, &sources));
            Ok(())
        })
    }
}

fn sample(trainer: &mut Trainer<impl Backend>, sources: &[String]) -> String {
    let prompt = if sources == ["stories"] { "Once upon a time" } else { "\n" };
    let mut text = prompt.trim_start().to_string();
    let sampling = Sampling { temperature: 0.7, top_p: 0.9, seed: trainer.step };
    let (layout, tokenizer) = (&trainer.layout, trainer.config.model.tokenizer);
    generate(&mut trainer.backend, &layout.parameters, &layout.sampler, tokenizer, prompt, 300, sampling, |piece| text.push_str(piece));
    text
}
