//! Everything that a run needs to go on bit for bit, as named tensors of a checkpoint.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::backend::Backend;
use crate::config::{ConfigOf, GhostTtsConfig, ModelConfig, ModelTable};
use crate::files::TensorFile;
use crate::files::checkpoint::{Content, TensorRef, TensorSource};
use crate::memory::Span;
use crate::models::ghost_tts::FACTS_KEY;
use crate::nn::tensors::{Tensor, parameters, tensor};
use crate::train::learner::Learner;
use crate::train::trainer::{Layout, Trainer};
use crate::{Error, Result};

/// The tensors that a run starts with: [`parameters`], and the shadow weights of those that have them.
pub fn weights<M: Learner>(layout: &Layout<M>) -> Vec<Tensor> {
    let mut tensors = parameters(&layout.parameters);
    tensors.extend(layout.optimizer.tensors(&layout.parameters).filter(|tensor| tensor.content == Content::Values));
    tensors
}

/// All tensors of a run in training.
pub fn tensors<M: Learner>(layout: &Layout<M>) -> Vec<Tensor> {
    let mut tensors = parameters(&layout.parameters);
    for float in &layout.optimizer.floats {
        for (moment, (name, content)) in float.moments.iter().zip([("m", Content::Means), ("v", Content::Squares)]) {
            tensors.push(tensor(format!("{}.{name}", float.name), content, &[moment.len()], *moment));
        }
    }
    tensors.extend(layout.optimizer.tensors(&layout.parameters));
    tensors
}

/// Bytes copied from the device at a time while saving.
const PIECE: usize = 1 << 20;

/// A tensor that is copied from the device in pieces, so that saving a run takes no second copy of it.
struct Streamed<'a, B> {
    device: &'a RefCell<(&'a mut B, Vec<u8>)>,
    bytes: Span<u8>,
}

impl<B: Backend> TensorSource for Streamed<'_, B> {
    fn for_each_chunk(&self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let (backend, buffer) = &mut *self.device.borrow_mut();
        (0..self.bytes.len()).step_by(PIECE).try_for_each(|start| {
            let piece = &mut buffer[..PIECE.min(self.bytes.len() - start)];
            backend.download(self.bytes.slice(start, piece.len()), piece);
            backend.fault()?;
            sink(piece)
        })
    }
}

/// Passes the checkpoint's metadata and all tensors of the run to `save`, which reads each of them once.
pub fn checkpoint<B: Backend, M: Learner, T>(
    trainer: &mut Trainer<B, M>,
    corpus: &M::Corpus,
    save: impl FnOnce(&BTreeMap<String, String>, &[TensorRef]) -> T,
) -> T {
    let mut metadata = BTreeMap::from([
        ("config".to_string(), trainer.config.to_toml()),
        ("step".to_string(), trainer.step.to_string()),
        ("data_fingerprint".to_string(), format!("{:016x}", M::fingerprint(corpus))),
    ]);
    metadata.extend(M::metadata(corpus));
    let tensors = tensors(&trainer.layout);
    let device = RefCell::new((&mut trainer.backend, vec![0; PIECE]));
    let sources: Vec<_> = tensors.iter().map(|tensor| Streamed { device: &device, bytes: tensor.bytes }).collect();
    let references = tensors.iter().zip(&sources).map(|(t, source)| TensorRef::streamed(t.name.clone(), t.dtype, &t.shape, source));
    save(&metadata, &references.collect::<Vec<_>>())
}

/// The step of a checkpoint: at most the last one of its own configuration.
///
/// # Errors
/// None there, or one that no such run reaches.
pub fn step_of<M: ModelTable>(file: &dyn TensorFile, config: &ConfigOf<M>) -> Result<u64> {
    let (step, steps) = (file.parse_meta("step")?, config.train.steps);
    if step > steps {
        let expected = format!("metadata `step` of at most {steps}, the steps of its configuration");
        return Err(Error::invalid(file.path().display(), expected, step, "use an earlier checkpoint"));
    }
    Ok(step)
}

/// The configuration inside a checkpoint of that kind of model.
///
/// # Errors
/// None there, or that of another kind, or one that does not parse.
pub fn config_of<M: ModelTable>(file: &dyn TensorFile) -> Result<ConfigOf<M>> {
    let path = file.path().display().to_string();
    let found = if is_voice(file) { GhostTtsConfig::KIND } else { ModelConfig::KIND };
    if found != M::KIND {
        return Err(Error::invalid(path, format!("the checkpoint of {}", M::KIND), found, "give another file, or use another command"));
    }
    ConfigOf::parse(file.meta("config")?, &path)
}

/// Whether a checkpoint is that of a voice.
pub fn is_voice(file: &dyn TensorFile) -> bool {
    file.metadata().contains_key(FACTS_KEY)
}
