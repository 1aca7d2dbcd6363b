//! Trainers of small text models on stories, and what tests want of them.

use std::collections::BTreeMap;

use primal_engine::backend::cpu::Cpu;
use primal_engine::config::ConfigOf;
use primal_engine::files::checkpoint::encode;
use primal_engine::memory::Plan;
use primal_engine::models::text::TextModel;
use primal_engine::train::state;
use primal_engine::train::text::TextTask;
use primal_engine::train::trainer::{Layout, Trainer};
use primal_host::data::{Corpus, CorpusOptions, TextCodec};

/// One at its first step.
pub fn trainer<M: TextModel<Config: Sync>>(config: &ConfigOf<M::Config>) -> Trainer<Cpu, TextTask<M>> {
    let mut plan = Plan::default();
    let layout = Layout::plan(config, &mut plan);
    let backend = Cpu::new(&mut plan);
    let mut trainer = Trainer::new(config.clone(), layout, backend);
    trainer.initialise();
    trainer
}

pub fn corpus() -> Corpus {
    let options = CorpusOptions { stories_bytes: 100_000, ..CorpusOptions::default() };
    Corpus::open(&["stories".to_string()], TextCodec::Bytes, &options).expect("stories")
}

/// The tensors of a checkpoint.
pub fn state_bytes<M: TextModel<Config: Sync>>(trainer: &mut Trainer<Cpu, TextTask<M>>) -> Vec<u8> {
    state::checkpoint(trainer, &corpus(), |_, tensors| encode(&BTreeMap::new(), tensors)).expect("a checkpoint")
}
