//! `primal-host tts-train`.

use std::collections::BTreeMap;

use crate::configurations::default_of;
use crate::data::SpeechCorpus;
use crate::data::SpeechData;
use crate::{Error, Result, ranks};
use primal_engine::backend::Device;
use primal_engine::config::{Family, SpeechConfig};
use primal_engine::memory;
use primal_engine::train::speech::SpeechTask;
use primal_engine::train::trainer::Layout;
use primal_speech::mel::MelSettings;

use super::device::{self, Work};
use super::limits;
use super::threads::in_pool;
use super::training_flags::TtsTrain;
use crate::runs::folder::{Flags, RunFolder, unwritable_out};
use crate::runs::followers;
use crate::runs::training::{self, Start};
use crate::voice::samples::Samples;

impl TtsTrain {
    /// Trains.
    ///
    /// # Errors
    /// Bad flags, configuration, corpus or run folder; a gradient that is not finite; a checkpoint that cannot be written.
    pub fn run(self) -> Result<()> {
        ranks::together(|| in_pool(self.threads, || device::run(self.device, &self)))
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
        let configure = |config: &mut SpeechConfig| {
            let given = self.apply(config)?;
            if self.resume.is_none() && self.reduce.is_none() {
                ranks::choose(&mut config.train);
            }
            Ok(given)
        };
        let (folder, sources) = followers::open(|| {
            let folder = RunFolder::open(&flags, configure)?;
            let sources = folder.sources(&self.data.iter().cloned().collect::<Vec<_>>().into(), None)?;
            Ok((folder, sources))
        })?;
        let config = &folder.config;
        let mut plan = memory::Plan::default();
        let layout = Layout::<SpeechTask>::plan_at(ranks::place(), config, &BTreeMap::new(), &mut plan);
        let cache = self.cache.as_deref().unwrap_or(&folder.path);
        let opened = ranks::in_turn(|| SpeechCorpus::open(sources.data[0].as_ref(), &MelSettings::default(), Some(cache)));
        // Features are written beside the run, unless they have a folder of their own.
        let corpus = if folder.is_resumed || self.cache.is_some() { opened } else { opened.map_err(unwritable_out) }?;
        let description = corpus.describe();
        let data = SpeechData::new(corpus, config)?;
        let mut samples = Samples::plan(folder.path.join("samples"), self.vocoder.as_ref(), data.facts(), &mut plan)?;
        D::require(&layout.model.attention())?;
        limits::warn_without_tiles(&layout, &config.train);
        limits::warn_of_unread(config.train.optimizer, &self.apply(&mut config.clone())?);
        limits::require::<D>(&plan, "lower --batch-frames, or use a smaller model")?;
        let start = Start { folder, sources, plan, layout };
        training::train::<D, _>(start, &data, &description, |trainer, progress| samples.write(trainer, progress, &data))
    }
}
