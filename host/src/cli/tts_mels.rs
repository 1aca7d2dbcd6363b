//! `primal-host tts-mels`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use argh::FromArgs;
use half::f16;

use super::device::{self, DeviceName, Work};
use super::limits;
use super::paths::{require_distinct, require_extension, require_writable};
use super::threads::in_pool;
use crate::data::{SpeechCorpus, SpeechLimits, SpeechSplit, VoiceFacts};
use crate::output::print;
use crate::voice::voice::Acoustic;
use crate::{Error, Result};
use primal_engine::backend::Device;
use primal_engine::files::checkpoint::{Checkpoint, Dtype, TensorRef, save};
use primal_engine::memory::Plan;
use primal_engine::models::ghost_tts::{Capacity, GhostTts};
use primal_engine::nn::{Purpose, tensors};

/// write the spectrograms that a voice draws of a corpus, with the corpus' durations, pitch and energy: what a vocoder for that voice learns
/// from. A tensor of halves, [frames, mels], for each utterance, under its id
#[derive(FromArgs)]
#[argh(subcommand, name = "tts-mels")]
pub struct TtsMels {
    /// checkpoint of `tts-train`
    #[argh(option)]
    checkpoint: PathBuf,
    /// folder of the corpus that it was trained on
    #[argh(option)]
    data: PathBuf,
    /// safetensors to write
    #[argh(option)]
    out: PathBuf,
    /// folder where the corpus' features are kept (default: nowhere)
    #[argh(option)]
    cache: Option<PathBuf>,
    /// device: cpu (default) or cuda
    #[argh(option, default = "DeviceName::default()")]
    device: DeviceName,
    /// threads (default: all cores)
    #[argh(option)]
    threads: Option<usize>,
}

impl TtsMels {
    /// Draws and writes.
    ///
    /// # Errors
    /// A checkpoint or a corpus that cannot be used, or do not belong together; output that cannot be written.
    pub fn run(self) -> Result<()> {
        let out = ("--out", self.out.as_path());
        require_extension(out, "safetensors")?;
        require_distinct(out, &[("--checkpoint", &self.checkpoint)])?;
        require_writable(out)?;
        in_pool(self.threads, || device::run(self.device, &self))
    }
}

impl Work for TtsMels {
    fn run_on<D: Device>(&self) -> Result<()> {
        let acoustic = Acoustic::new(Checkpoint::open_verified(&self.checkpoint)?)?;
        let corpus = SpeechCorpus::open(&self.data, &acoustic.facts.mel, self.cache.as_deref())?;
        if VoiceFacts::new(*corpus.settings(), corpus.statistics().clone()) != acoustic.facts {
            let expected = format!("the corpus that {} was trained on", self.checkpoint.display());
            let hint = "pitch and energy are told in that corpus' standard deviations: give it, or train on this one";
            return Err(Error::bad_input(format!("--data {}", self.data.display()), expected, "one of other statistics", hint));
        }
        let all = || [SpeechSplit::Train, SpeechSplit::HeldOut].into_iter().flat_map(|split| corpus.utterances(split));
        let most = SpeechLimits::of(&corpus, 1);
        let capacity = Capacity { utterances: 1, phones: most.longest_phones, frames: most.longest_frames };
        let mut plan = Plan::default();
        let (ids, specs) = acoustic.parameters();
        let model = GhostTts::plan(ids, &acoustic.config.model, capacity, Purpose::Evaluate, &mut plan);
        D::require(&model.attention())?;
        limits::require::<D>(&plan, "cut the longest utterances of the corpus")?;
        let mut b = D::open(&mut plan)?;
        let p = tensors::map(&mut b, specs, &acoustic.checkpoint)?;
        model.prepare(&mut b);
        let (mut batch, scale, mels) = (model.batch(), acoustic.facts.mel_scale(), model.mels);
        let (mut drawn, mut error, mut values) = (Vec::new(), 0.0, 0);
        for utterance in all() {
            batch.clear();
            batch.push(&utterance.input(&[]), &scale);
            let mel = model.draw(&mut b, &p, &batch, &scale)?;
            error += mel.iter().zip(corpus.mel(utterance)).map(|(ours, theirs)| f64::from((ours - theirs).abs())).sum::<f64>();
            values += mel.len();
            drawn.push((utterance, mel.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect::<Vec<u8>>()));
        }
        let tensors: Vec<_> =
            drawn.iter().map(|(utterance, bytes)| TensorRef::new(&utterance.id, Dtype::F16, &[utterance.frames, mels], bytes)).collect();
        save(&self.out, &BTreeMap::new(), &tensors)?;
        let (name, count, mean) = (self.out.display(), drawn.len(), error / values as f64);
        print(format!("{name}: {count} spectrograms, {mean:.4} nepers from those of the recordings on average"))
    }
}
