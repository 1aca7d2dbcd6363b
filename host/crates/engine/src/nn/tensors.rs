//! Parameters as named tensors of a checkpoint.

use std::collections::BTreeSet;

use super::Parameters;
use super::parameters::Specs;
use crate::backend::{Backend, Storage};
use crate::files::checkpoint::{Checkpoint, Content, Dtype, View};
use crate::memory::Span;
use crate::{Error, Result};

/// A tensor of the arena, by its bytes.
pub struct Tensor {
    /// Name in the checkpoint.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Shape, row-major.
    pub shape: Vec<usize>,
    /// What its values may be.
    pub content: Content,
    /// Its bytes.
    pub bytes: Span<u8>,
}

/// A tensor of a span; codes and votes are bytes, all else is `f32`.
pub fn tensor<T>(name: impl Into<String>, content: Content, shape: &[usize], span: Span<T>) -> Tensor {
    let dtype = if matches!(content, Content::Codes(..) | Content::Votes(_)) { Dtype::U8 } else { Dtype::F32 };
    Tensor { name: name.into(), dtype, shape: shape.to_vec(), content, bytes: Span::new(span.segment, span.offset, span.bytes()) }
}

impl Tensor {
    /// Checks its values in a checkpoint, which has it.
    fn validate(&self, checkpoint: &Checkpoint) -> Result<()> {
        let view = view(checkpoint, &self.name, self.dtype, &self.shape)?;
        let result = self.content.validate(checkpoint.path().display(), &self.name, view.bytes);
        checkpoint.release(&view.range);
        result
    }
}

/// The tensors that inference needs.
pub fn parameters(p: &Parameters) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    for (spec, weight) in p.specs.matrices.iter().zip(&p.matrices) {
        match &weight.storage {
            Storage::Grid(grid) => {
                let codes = Content::Codes(grid.grid, spec.in_features);
                tensors.push(tensor(format!("{}.codes", spec.name), codes, &[spec.out_features, weight.row_bytes()], grid.codes));
                tensors.push(tensor(format!("{}.scale", spec.name), Content::Scales, &[spec.out_features], grid.scale));
            }
            Storage::Float(value) => {
                tensors.push(tensor(format!("{}.weight", spec.name), Content::Values, &[spec.out_features, spec.in_features], *value))
            }
        }
    }
    tensors.extend(p.specs.vectors.iter().zip(&p.vectors).map(|(spec, &value)| tensor(&spec.name, Content::Values, &spec.shape, value)));
    tensors
}

/// A tensor of a checkpoint, which has to be of this type and shape.
///
/// # Errors
/// Bad input where it is missing or another.
pub fn view<'a>(checkpoint: &'a Checkpoint, name: &str, dtype: Dtype, shape: &[usize]) -> Result<View<'a>> {
    let view = checkpoint.tensor(name)?;
    if view.dtype != dtype || view.shape != shape {
        return Err(Error::invalid(
            format!("{}: tensor {name}", checkpoint.path().display()),
            format!("{dtype:?} {shape:?}"),
            format!("{:?} {:?}", view.dtype, view.shape),
            "use the configuration that the checkpoint was made with",
        ));
    }
    Ok(view)
}

/// Parameters that lie in the checkpoint itself, their checksums and values checked; on the CPU nothing is copied.
///
/// # Errors
/// A tensor that is missing, damaged, of another type or shape, or with a value that no run saves.
pub fn map<B: Backend>(backend: &mut B, specs: Specs, checkpoint: &Checkpoint) -> Result<Parameters> {
    let mapped = Parameters::place(specs, |name, dtype, shape| {
        let view = view(checkpoint, name, dtype, shape)?;
        Ok(backend.map(checkpoint.mapping(), view.range))
    })?;
    validate(&parameters(&mapped), checkpoint)?;
    Ok(mapped)
}

/// Verifies the checksums of tensors, and that their values can have been saved by a run.
///
/// # Errors
/// A tensor that is missing, damaged, of another type or shape, or with a value that no run saves.
pub fn validate(tensors: &[Tensor], checkpoint: &Checkpoint) -> Result<()> {
    let used: BTreeSet<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    checkpoint.verify_those(|name| used.contains(name))?;
    tensors.iter().try_for_each(|tensor| tensor.validate(checkpoint))
}

/// Fills tensors from a checkpoint whose checksums were verified.
///
/// # Errors
/// A tensor that is missing or of another type or shape: the configuration does not match the checkpoint. One with a value that no run saves.
pub fn load<B: Backend>(backend: &mut B, tensors: &[Tensor], checkpoint: &Checkpoint) -> Result<()> {
    for tensor in tensors {
        tensor.validate(checkpoint)?;
        let view = view(checkpoint, &tensor.name, tensor.dtype, &tensor.shape)?;
        backend.upload(tensor.bytes, view.bytes);
        checkpoint.release(&view.range);
    }
    Ok(())
}
