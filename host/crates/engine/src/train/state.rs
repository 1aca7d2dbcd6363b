//! Everything that a run needs to go on bit for bit, as named tensors of a checkpoint.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::backend::Backend;
use crate::config::{ConfigOf, ModelTable, architecture_of};
use crate::files::TensorFile;
use crate::files::checkpoint::{Content, TensorRef, TensorSource};
use crate::memory::Span;
use crate::nn::Parameters;
use crate::nn::kept;
use crate::nn::tensors::{Tensor, parameters, tensor};
use crate::optim::Optimizer;
use crate::train::task::Task;
use crate::train::trainer::{Layout, Trainer};
use crate::{Error, Result};

/// The tensors that a run starts with: [`parameters`], and the shadow weights of those that have them.
pub fn weights<T: Task>(layout: &Layout<T>) -> Vec<Tensor> {
    let mut tensors = parameters(&layout.parameters);
    tensors.extend(layout.optimizer.tensors(&layout.parameters).filter(|tensor| tensor.content == Content::Values));
    tensors
}

/// All tensors of a run in training.
pub fn tensors<T: Task>(layout: &Layout<T>) -> Vec<Tensor> {
    let mut tensors = parameters(&layout.parameters);
    tensors.extend(besides(&layout.optimizer, &layout.parameters));
    tensors
}

/// What a run keeps besides its parameters.
pub fn besides(optimizer: &Optimizer, p: &Parameters) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    for float in &optimizer.floats {
        for (moment, (name, content)) in float.moments.iter().zip([("m", Content::Means), ("v", Content::Squares)]) {
            tensors.push(tensor(format!("{}.{name}", float.name), content, &[moment.len()], *moment));
        }
    }
    tensors.extend(optimizer.tensors(p));
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
pub fn checkpoint<B: Backend, T: Task, R>(
    trainer: &mut Trainer<B, T>,
    corpus: &T::Corpus,
    save: impl FnOnce(&BTreeMap<String, String>, &[TensorRef]) -> R,
) -> R {
    let mut metadata = BTreeMap::from([
        ("config".to_string(), trainer.config.to_toml()),
        ("step".to_string(), trainer.step.to_string()),
        ("data_fingerprint".to_string(), format!("{:016x}", T::fingerprint(corpus))),
    ]);
    metadata.extend(T::metadata(corpus));
    if !trainer.layout.kept.is_empty() {
        metadata.insert(kept::KEY.into(), kept::to_json(trainer.layout.kept.iter().map(|(name, &kept)| (name.as_str(), kept))));
    }
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

/// The architecture of the model in a checkpoint.
///
/// # Errors
/// No configuration there, or one that does not parse.
pub fn architecture(file: &dyn TensorFile) -> Result<String> {
    architecture_of(file.meta("config")?, &file.path().display().to_string())
}

/// The configuration inside a checkpoint of that model.
///
/// # Errors
/// None there, or that of another model, or one that does not parse.
pub fn config_of<M: ModelTable>(file: &dyn TensorFile) -> Result<ConfigOf<M>> {
    let (path, found) = (file.path().display().to_string(), architecture(file)?);
    if found != M::ARCHITECTURE {
        let expected = format!("the checkpoint of {} ({})", M::FAMILY.kind(), M::ARCHITECTURE);
        return Err(Error::invalid(path, expected, found, "give another file, or use another command"));
    }
    ConfigOf::parse(file.meta("config")?, &path)
}
