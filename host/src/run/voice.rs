//! A trained voice, ready to speak.

use std::path::Path;

use crate::Result;
use crate::arena::Plan;
use crate::backend::Device;
use crate::checkpoint::Checkpoint;
use crate::config::SpeechConfig;
use crate::model::Parameters;
use crate::model::ghost_tts::{Capacity, Controls, FACTS_KEY, GhostTts, SpeechBatch, Spoken, VoiceFacts};
use crate::model::gpt::Purpose;
use crate::run::state;
use crate::speech::Phone;
use crate::train::learner::Learner;

/// A voice over its activations, its parameters in the mapped file. Votes and moments of a checkpoint in training are not read.
pub struct Voice<D: Device> {
    /// What its numbers mean.
    pub facts: VoiceFacts,
    /// Steps that it was trained for.
    pub step: u64,
    backend: D,
    model: GhostTts,
    parameters: Parameters,
    batch: SpeechBatch,
}

impl<D: Device> Voice<D> {
    /// Maps a checkpoint of `tts-train`, checks what the voice needs of it, and plans memory for sentences of at most so many phones and
    /// frames.
    ///
    /// # Errors
    /// A file that is no undamaged checkpoint of a voice; no such device.
    pub fn open(path: &Path, phones: usize, frames: usize) -> Result<Self> {
        let checkpoint = Checkpoint::open(path)?;
        let config: SpeechConfig = state::config_of(&checkpoint)?;
        let facts = VoiceFacts::parse(checkpoint.meta(FACTS_KEY)?, config.model.mels, &path.display().to_string())?;
        let (ids, specs) = Learner::name_parameters(&config);
        let mut plan = Plan::default();
        let model = GhostTts::plan(ids, &config.model, Capacity { utterances: 1, phones, frames }, Purpose::Evaluate, &mut plan);
        let mut backend = D::open(&mut plan)?;
        let parameters = state::map(&mut backend, specs, &checkpoint)?;
        model.prepare(&mut backend);
        Ok(Self { facts, step: checkpoint.parse_meta("step")?, batch: model.batch(), backend, model, parameters })
    }

    /// Speaks phones in one breath: frames of each phone, and their log-mel spectrogram `[frames, mels]`.
    ///
    /// # Errors
    /// Bad input for no phones, or for more phones or frames than the voice was opened for.
    pub fn speak(&mut self, phones: &[Phone], controls: &Controls) -> Result<Spoken> {
        self.model.synthesise(&mut self.backend, &self.parameters, &mut self.batch, &self.facts, phones, controls)
    }
}
