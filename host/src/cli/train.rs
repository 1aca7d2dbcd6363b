//! `primal-host train`.

use std::marker::PhantomData;
use std::path::PathBuf;

use argh::FromArgs;
use primal_device::grid::GridId;

use crate::Result;
use crate::configurations::default_of;
use crate::data::generate;
use crate::data::{Corpus, CorpusOptions, STORIES};
use primal_engine::backend::{Backend, Device};
use primal_engine::config::Tokenizer;
use primal_engine::config::{self, ConfigOf, Family, TextTable, votes_of};
use primal_engine::memory;
use primal_engine::models::registry::OnText;
use primal_engine::models::sample::Sampling;
use primal_engine::models::text::TextModel;
use primal_engine::train::text::TextTask;
use primal_engine::train::trainer::{Layout, Trainer};

use super::device::{self, DeviceName, Work};
use super::limits;
use super::overrides::Overrides;
use super::threads::in_pool;
use crate::runs::folder::{Flags, RunFolder, unwritable_out};
use crate::runs::training::{self, Start};
use crate::tasks::on_text_model;

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
    /// steps in all; with --resume, more of them for a run
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
    /// validate every so many steps
    #[argh(option)]
    validate_every: Option<u64>,
    /// print a sample every so many steps
    #[argh(option)]
    sample_every: Option<u64>,
    /// save every so many steps
    #[argh(option)]
    checkpoint_every: Option<u64>,
    /// checkpoints to keep besides the best
    #[argh(option)]
    keep: Option<usize>,
    /// folder of the new run (default: runs/<configuration>)
    #[argh(option)]
    out: Option<PathBuf>,
    /// folder of a run to continue with its own configuration; --steps, --validate-every, --sample-every, --checkpoint-every and --keep change it
    #[argh(option)]
    resume: Option<PathBuf>,
    /// checkpoint whose weights the new run starts with, with its configuration unless --config names another for the same model
    #[argh(option)]
    from: Option<PathBuf>,
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

    /// Applies the flags that change the configuration, and names those that were given.
    fn apply(&self, config: &mut ConfigOf<impl TextTable>) -> Result<Vec<&'static str>> {
        let (mut flags, model, t) = (Overrides::default(), &mut config.model, &mut config.train);
        let tokenizer = self.tokenizer.as_ref().map(|name| Tokenizer::from_name(name, "--tokenizer")).transpose()?;
        flags.set("--tokenizer", tokenizer, model.tokenizer_mut());
        flags.set_named("--optimizer", self.optimizer.as_deref(), config::RULES, config::rule, &mut t.optimizer)?;
        flags.set_named("--grid", self.grid.as_deref(), config::GRIDS, GridId::from_name, model.grid_mut())?;
        flags.set_named("--votes", self.votes, config::VOTES, votes_of, &mut t.votes)?;
        flags.set("--batch", self.batch, &mut t.batch);
        flags.set("--seq-len", self.seq_len, &mut t.seq_len);
        flags.set("--grad-accum", self.grad_accum, &mut t.grad_accum);
        flags.set("--steps", self.steps, &mut t.steps);
        flags.set("--lr", self.lr, &mut t.lr);
        flags.set("--warmup", self.warmup, &mut t.warmup);
        flags.set("--seed", self.seed, &mut t.seed);
        flags.set("--validate-every", self.validate_every, &mut t.validate_every);
        flags.set("--sample-every", self.sample_every, &mut t.sample_every);
        flags.set("--checkpoint-every", self.checkpoint_every, &mut t.checkpoint_every);
        flags.set("--keep", self.keep, &mut t.keep);
        Ok(flags.given())
    }
}

impl Work for Train {
    fn run_on<D: Device>(&self) -> Result<()> {
        let (architecture, origin) = self.names().architecture(Family::Text)?;
        on_text_model(&architecture, &origin, TrainOn::<D>(self, PhantomData))
    }
}

/// Trains on a device.
struct TrainOn<'a, D>(&'a Train, PhantomData<D>);

impl<D: Device> OnText for TrainOn<'_, D> {
    type Output = Result<()>;

    fn on<M: TextModel>(self) -> Result<()> {
        self.0.train::<D, M>()
    }
}

impl Train {
    /// The flags that name the run.
    fn names(&self) -> Flags<'_> {
        Flags {
            out: self.out.as_deref(),
            resume: self.resume.as_deref(),
            from: self.from.as_deref(),
            config: self.config.as_deref(),
            default: default_of(Family::Text),
        }
    }

    fn train<D: Device, M: TextModel>(&self) -> Result<()> {
        let folder = RunFolder::<M::Config>::open(&self.names(), |config| self.apply(config))?;
        let (config, t) = (&folder.config, &folder.config.train);
        let sources = folder.sources(&self.data, Some(STORIES))?;
        let mut plan = memory::Plan::default();
        let mut planned = config.clone();
        limits::choose_recompute::<TextTask<M>, D>(&mut planned)?;
        let layout = Layout::<TextTask<M>>::plan(&planned, &mut plan);
        D::require(&layout.model.attention())?;
        limits::require::<D>(&plan, "lower --batch or --seq-len, or use a smaller model")?;
        let options = CorpusOptions { cache: Some(folder.path.clone()), hold_out_test: t.hold_out_test, ..CorpusOptions::default() };
        let opened = Corpus::open(&sources, config.model.tokenizer(), &options);
        let corpus = if folder.is_resumed { opened } else { opened.map_err(unwritable_out) }?;
        corpus.require(t.batch, t.seq_len)?;
        let prompt = if sources == [STORIES] { "Once upon a time" } else { "\n" };
        training::train::<D, _>(Start { folder, sources, plan, layout }, &corpus, &corpus.describe(), |trainer, progress| {
            progress.sample(trainer.step, &sample(trainer, prompt)?);
            Ok(())
        })
    }
}

fn sample<M: TextModel>(trainer: &mut Trainer<impl Backend, TextTask<M>>, prompt: &str) -> Result<String> {
    let mut text = prompt.trim_start().to_string();
    let sampling = Sampling { temperature: 0.7, top_p: 0.9, seed: trainer.step };
    let (layout, tokenizer) = (&trainer.layout, trainer.config.model.tokenizer());
    generate(&mut trainer.backend, &layout.parameters, &layout.sampler, tokenizer, prompt, 300, sampling, |piece| {
        text.push_str(piece);
        Ok(())
    })?;
    Ok(text)
}
