//! `primal-host tts-train`.

use std::path::PathBuf;

use argh::FromArgs;

use crate::configurations::default_of;
use crate::data::SpeechCorpus;
use crate::data::SpeechData;
use crate::{Error, Result};
use primal_engine::backend::Device;
use primal_engine::config::{self, Family, SpeechConfig, votes_of};
use primal_engine::memory;
use primal_engine::train::speech::SpeechTask;
use primal_engine::train::trainer::Layout;
use primal_speech::mel::MelSettings;

use super::device::{self, DeviceName, Work};
use super::limits;
use super::overrides::Overrides;
use super::threads::in_pool;
use crate::runs::folder::{Flags, RunFolder, unwritable_out};
use crate::runs::training::{self, Start};
use crate::voice::samples::Samples;

/// train a voice on a corpus of speech
#[derive(FromArgs)]
#[argh(subcommand, name = "tts-train")]
pub struct TtsTrain {
    /// folder of the corpus, with train.jsonl and heldout.jsonl
    #[argh(option)]
    data: Option<String>,
    /// folder of the new run
    #[argh(option)]
    out: Option<PathBuf>,
    /// configuration: ghost-tts (default), ghost-tts-nano, or a .toml file
    #[argh(option)]
    config: Option<String>,
    /// votes (default), poltergeist, qat or adamw
    #[argh(option)]
    optimizer: Option<String>,
    /// bits of a vote: 8 (default) or 4
    #[argh(option)]
    votes: Option<i64>,
    /// frames of a micro-batch, at most
    #[argh(option)]
    batch_frames: Option<usize>,
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
    /// draw a sample every so many steps, and speak it if there is a vocoder
    #[argh(option)]
    sample_every: Option<u64>,
    /// vocoder for samples: safetensors, as `primal-host import hifigan` makes it
    #[argh(option)]
    vocoder: Option<PathBuf>,
    /// save every so many steps
    #[argh(option)]
    checkpoint_every: Option<u64>,
    /// checkpoints to keep besides the best
    #[argh(option)]
    keep: Option<usize>,
    /// folder where the corpus' features are kept (default: that of the run)
    #[argh(option)]
    cache: Option<PathBuf>,
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

impl TtsTrain {
    /// Trains.
    ///
    /// # Errors
    /// Bad flags, configuration, corpus or run folder; a gradient that is not finite; a checkpoint that cannot be written.
    pub fn run(self) -> Result<()> {
        in_pool(self.threads, || device::run(self.device, &self))
    }

    /// Applies the flags that change the configuration, and names those that were given.
    fn apply(&self, config: &mut SpeechConfig) -> Result<Vec<&'static str>> {
        let (mut flags, t) = (Overrides::default(), &mut config.train);
        flags.set_named("--optimizer", self.optimizer.as_deref(), config::RULES, config::rule, &mut t.optimizer)?;
        flags.set_named("--votes", self.votes, config::VOTES, votes_of, &mut t.votes)?;
        flags.set("--batch-frames", self.batch_frames, &mut t.batch_frames);
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

impl Work for TtsTrain {
    fn run_on<D: Device>(&self) -> Result<()> {
        let flags = Flags {
            out: self.out.as_deref(),
            resume: self.resume.as_deref(),
            from: self.from.as_deref(),
            config: self.config.as_deref(),
            default: default_of(Family::Speech),
        };
        if self.data.is_none() && self.resume.is_none() {
            let hint = "make one with models/voices/slt/make_corpus.py";
            return Err(Error::bad_input("--data", "the folder of a speech corpus", "nothing", hint));
        }
        let folder = RunFolder::open(&flags, |config| self.apply(config))?;
        let config = &folder.config;
        let sources = folder.sources(self.data.as_slice(), None)?;
        let mut plan = memory::Plan::default();
        let layout = Layout::<SpeechTask>::plan(config, &mut plan);
        let cache = self.cache.as_deref().unwrap_or(&folder.path);
        let opened = SpeechCorpus::open(sources[0].as_ref(), &MelSettings::default(), Some(cache));
        // Features are written beside the run, unless they have a folder of their own.
        let corpus = if folder.is_resumed || self.cache.is_some() { opened } else { opened.map_err(unwritable_out) }?;
        let description = corpus.describe();
        let data = SpeechData::new(corpus, config)?;
        let mut samples = Samples::plan(folder.path.join("samples"), self.vocoder.as_ref(), data.facts(), &mut plan)?;
        D::require(&layout.model.attention())?;
        limits::require::<D>(&plan, "lower --batch-frames, or use a smaller model")?;
        let start = Start { folder, sources, plan, layout };
        training::train::<D, _>(start, &data, &description, |trainer, progress| samples.write(trainer, progress, &data))
    }
}
