//! `primal-host train`.

use crate::Result;
use crate::configurations::Named;
use crate::data::generate;
use crate::data::{Corpus, CorpusOptions, STORIES};
use primal_engine::backend::{Backend, Device};
use primal_engine::config::ModelConfig;
use primal_engine::memory;
use primal_engine::models::gpt::sample::Sampling;
use primal_engine::train::trainer::{Layout, Trainer};

use super::device::{self, Work};
use super::limits;
use super::threads::in_pool;
use super::training_flags::Train;
use crate::runs::folder::{Flags, RunFolder, unwritable_out};
use crate::runs::training::{self, Start};

impl Train {
    /// Trains.
    ///
    /// # Errors
    /// Bad flags, configuration, data or run folder; a gradient that is not finite; a checkpoint that cannot be written.
    pub fn run(self) -> Result<()> {
        in_pool(self.threads, || device::run(self.device, &self))
    }
}

impl Work for Train {
    fn run_on<D: Device>(&self) -> Result<()> {
        let flags = Flags {
            out: self.out.as_deref(),
            resume: self.resume.as_deref(),
            from: self.from.as_deref(),
            config: self.config.as_deref(),
            default: ModelConfig::DEFAULT,
        };
        let folder = RunFolder::open(&flags, |config| self.apply(config))?;
        let (config, t) = (&folder.config, &folder.config.train);
        let sources = folder.sources(&self.data, Some(STORIES))?;
        let mut plan = memory::Plan::default();
        let mut planned = config.clone();
        limits::choose_recompute::<_, D>(&mut planned)?;
        let layout = Layout::plan(&planned, &mut plan);
        D::require(&layout.model.attention())?;
        limits::require::<D>(&plan, "lower --batch or --seq-len, or use a smaller model")?;
        let options = CorpusOptions { cache: Some(folder.path.clone()), hold_out_test: t.hold_out_test, ..CorpusOptions::default() };
        let opened = Corpus::open(&sources, config.model.tokenizer, &options);
        let corpus = if folder.is_resumed { opened } else { opened.map_err(unwritable_out) }?;
        corpus.require(t.batch, t.seq_len)?;
        let prompt = if sources == [STORIES] { "Once upon a time" } else { "\n" };
        training::train::<D, _>(Start { folder, sources, plan, layout }, &corpus, &corpus.describe(), |trainer, progress| {
            progress.sample(trainer.step, &sample(trainer, prompt)?);
            Ok(())
        })
    }
}

fn sample(trainer: &mut Trainer<impl Backend>, prompt: &str) -> Result<String> {
    let mut text = prompt.trim_start().to_string();
    let sampling = Sampling { temperature: 0.7, top_p: 0.9, seed: trainer.step };
    let (layout, tokenizer) = (&trainer.layout, trainer.config.model.tokenizer);
    generate(&mut trainer.backend, &layout.parameters, &layout.sampler, tokenizer, prompt, 300, sampling, |piece| {
        text.push_str(piece);
        Ok(())
    })?;
    Ok(text)
}
