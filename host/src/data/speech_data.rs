//! A corpus of speech as GhostTTS is trained on it.

use std::cell::RefCell;

use primal_engine::config::SpeechConfig;
use primal_engine::models::ghost_tts::{Capacity, MelScale, SpeechBatch};
use primal_engine::train::speech::SpeechSource;

use super::speech_batch::{SpeechBatches, SpeechLimits, heldout_batches};
use super::speech_corpus::{SpeechCorpus, SpeechSplit};
use super::voice_facts::{VoiceFacts, require_phones};
use crate::{Error, Result};

/// What a voice is trained on and measured by.
pub struct SpeechData {
    corpus: SpeechCorpus,
    order: RefCell<SpeechBatches>,
    held_out: Vec<Vec<usize>>,
    facts: VoiceFacts,
    scale: MelScale,
}

impl SpeechData {
    /// A corpus in batches for a model.
    ///
    /// # Errors
    /// Bad input for an utterance that does not fit into a batch, or another number of mel bands.
    pub fn new(corpus: SpeechCorpus, config: &SpeechConfig) -> Result<Self> {
        require_phones(config, "the configuration")?;
        let (t, mels) = (&config.train, corpus.settings().num_mels);
        if mels != config.model.mels {
            return Err(Error::bad_input("model.mels", mels, config.model.mels, "train a model of the corpus' bands"));
        }
        let (limits, capacity) = (SpeechLimits::of(&corpus, t.batch_frames), Capacity::of_frames(t.batch_frames));
        if limits.phones > capacity.phones || limits.utterances > capacity.utterances {
            return Err(Error::bad_input(
                "--data",
                format!("at most {} phones and {} utterances in {} frames", capacity.phones, capacity.utterances, capacity.frames),
                format!("{} phones, {} utterances", limits.phones, limits.utterances),
                "see whether its durations are right; a phone takes four frames or more on average",
            ));
        }
        let facts = VoiceFacts::new(*corpus.settings(), corpus.statistics().clone());
        Ok(Self {
            order: RefCell::new(SpeechBatches::new(&corpus, t.seed, t.batch_frames)?),
            held_out: heldout_batches(&corpus, t.batch_frames)?,
            scale: facts.mel_scale(),
            facts,
            corpus,
        })
    }

    /// The corpus.
    pub fn corpus(&self) -> &SpeechCorpus {
        &self.corpus
    }

    /// What its numbers mean.
    pub fn facts(&self) -> &VoiceFacts {
        &self.facts
    }

    /// Fills a batch with utterances of a split.
    fn fill(&self, batch: &mut SpeechBatch, split: SpeechSplit, utterances: &[usize]) {
        batch.clear();
        for &index in utterances {
            let utterance = &self.corpus.utterances(split)[index];
            batch.push(&utterance.input(self.corpus.mel(utterance)), &self.scale);
        }
    }
}

impl SpeechSource for SpeechData {
    fn fingerprint(&self) -> u64 {
        self.corpus.fingerprint()
    }

    fn facts(&self) -> String {
        self.facts.to_json()
    }

    fn mel_std(&self) -> f32 {
        self.scale.std
    }

    fn sample(&self, number: u64, batch: &mut SpeechBatch) {
        self.fill(batch, SpeechSplit::Train, self.order.borrow_mut().at(number));
    }

    fn held_out(&self, index: usize, batch: &mut SpeechBatch) -> bool {
        let utterances = self.held_out.get(index);
        utterances.iter().for_each(|utterances| self.fill(batch, SpeechSplit::HeldOut, utterances));
        utterances.is_some()
    }
}
