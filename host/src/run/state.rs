//! Everything that a run needs to go on bit for bit, as named tensors of a checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use crate::arena::Span;
use crate::backend::{Backend, Storage};
use crate::checkpoint::{Checkpoint, Dtype, TensorRef, View};
use crate::config::Config;
use crate::data::Corpus;
use crate::model::Parameters;
use crate::model::parameters::Specs;
use crate::train::optimizer::MatrixState;
use crate::train::trainer::{Layout, Trainer};
use crate::{Error, Result};

/// A tensor of the arena, by its bytes.
pub struct Tensor {
    /// Name in the checkpoint.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Shape, row-major.
    pub shape: Vec<usize>,
    /// Its bytes.
    pub bytes: Span<u8>,
}

fn tensor<T>(name: impl Into<String>, dtype: Dtype, shape: &[usize], span: Span<T>) -> Tensor {
    Tensor { name: name.into(), dtype, shape: shape.to_vec(), bytes: Span::new(span.segment, span.offset, span.bytes()) }
}

/// The tensors that inference needs.
pub fn parameters(p: &Parameters) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    for (spec, weight) in p.specs.matrices.iter().zip(&p.matrices) {
        match &weight.storage {
            Storage::Grid(grid) => {
                tensors.push(tensor(format!("{}.codes", spec.name), Dtype::U8, &[spec.out_features, weight.row_bytes()], grid.codes));
                tensors.push(tensor(format!("{}.scale", spec.name), Dtype::F32, &[spec.out_features], grid.scale));
            }
            Storage::Float(value) => {
                tensors.push(tensor(format!("{}.weight", spec.name), Dtype::F32, &[spec.out_features, spec.in_features], *value))
            }
        }
    }
    tensors.extend(p.specs.vectors.iter().zip(&p.vectors).map(|(spec, &value)| tensor(&spec.name, Dtype::F32, &spec.shape, value)));
    tensors
}

/// All tensors of a run in training.
pub fn tensors(layout: &Layout) -> Vec<Tensor> {
    let mut tensors = parameters(&layout.parameters);
    for float in &layout.optimizer.floats {
        for (moment, name) in float.moments.iter().zip(["m", "v"]) {
            tensors.push(tensor(format!("{}.{name}", float.name), Dtype::F32, &[moment.len()], *moment));
        }
    }
    for (spec, state) in layout.parameters.specs.matrices.iter().zip(&layout.optimizer.matrices) {
        let rows = spec.out_features;
        match state {
            MatrixState::Votes(state) => {
                tensors.push(tensor(format!("{}.votes", spec.name), Dtype::U8, &[rows, state.votes.len() / rows], state.votes));
                tensors.push(tensor(format!("{}.vote_row", spec.name), Dtype::F32, &[rows], state.row));
                tensors.push(tensor(format!("{}.vote_column", spec.name), Dtype::F32, &[spec.in_features], state.column));
            }
            MatrixState::Qat(index) => {
                let shadow = &layout.optimizer.floats[*index];
                tensors.push(tensor(&shadow.name, Dtype::F32, &[shadow.value.len()], shadow.value));
            }
            // Votes are cleared at each step; a float weight is a parameter.
            MatrixState::Poltergeist(_) | MatrixState::Float(_) => {}
        }
    }
    tensors
}

/// A tensor and a copy of its bytes.
pub type Copied = (Tensor, Vec<u8>);

/// The bytes of all tensors, and the checkpoint's metadata.
pub fn snapshot<B: Backend>(trainer: &mut Trainer<B>, corpus: &Corpus) -> (BTreeMap<String, String>, Vec<Copied>) {
    let metadata = BTreeMap::from([
        ("config".to_string(), trainer.config.to_toml()),
        ("step".to_string(), trainer.step.to_string()),
        ("data_fingerprint".to_string(), format!("{:016x}", corpus.fingerprint())),
    ]);
    let copies = tensors(&trainer.layout).into_iter().map(|tensor| {
        let mut bytes = vec![0u8; tensor.bytes.len()];
        trainer.backend.download(tensor.bytes, &mut bytes);
        (tensor, bytes)
    });
    (metadata, copies.collect())
}

/// A snapshot as the checkpoint writer takes it.
pub fn references(copies: &[Copied]) -> Vec<TensorRef<'_>> {
    copies.iter().map(|(tensor, bytes)| TensorRef::new(tensor.name.clone(), tensor.dtype, &tensor.shape, bytes)).collect()
}

/// A tensor of a checkpoint, which has to be of this type and shape.
fn view<'a>(checkpoint: &'a Checkpoint, name: &str, dtype: Dtype, shape: &[usize]) -> Result<View<'a>> {
    let view = checkpoint.tensor(name)?;
    if view.dtype != dtype || view.shape != shape {
        return Err(Error::bad_input(
            format!("{}: tensor {name}", checkpoint.path().display()),
            format!("{dtype:?} {shape:?}"),
            format!("{:?} {:?}", view.dtype, view.shape),
            "use the configuration that the checkpoint was made with",
        ));
    }
    Ok(view)
}

/// Parameters that lie in the checkpoint itself, their checksums compared; on the CPU nothing is copied.
///
/// # Errors
/// A tensor that is missing, damaged, or of another type or shape.
pub fn map<B: Backend>(backend: &mut B, specs: Specs, checkpoint: &Checkpoint) -> Result<Parameters> {
    let mapped = Parameters::place(specs, |name, dtype, shape| {
        let view = view(checkpoint, name, dtype, shape)?;
        Ok(backend.map(checkpoint.mapping(), view.range))
    })?;
    let used: BTreeSet<String> = parameters(&mapped).into_iter().map(|tensor| tensor.name).collect();
    checkpoint.verify_those(|name| used.contains(name))?;
    Ok(mapped)
}

/// Fills tensors from a checkpoint.
///
/// # Errors
/// A tensor that is missing or of another type or shape: the configuration does not match the checkpoint.
pub fn load<B: Backend>(backend: &mut B, tensors: &[Tensor], checkpoint: &Checkpoint) -> Result<()> {
    for tensor in tensors {
        backend.upload(tensor.bytes, view(checkpoint, &tensor.name, tensor.dtype, &tensor.shape)?.bytes);
    }
    Ok(())
}

/// The configuration inside a checkpoint.
///
/// # Errors
/// None there, or one that does not parse.
pub fn config_of(checkpoint: &Checkpoint) -> Result<Config> {
    Config::parse(checkpoint.meta("config")?, &checkpoint.path().display().to_string())
}
