//! Parameters as named tensors of a checkpoint.

use std::collections::BTreeSet;

use half::f16;

use super::Parameters;
use super::parameters::Specs;
use crate::backend::{Backend, BlockWeight, Scales, Storage};
use crate::files::checkpoint::{Content, Dtype};
use crate::files::{TensorFile, View};
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
    /// What the tensor's values may be.
    pub content: Content,
    /// Where the tensor lies in the arena.
    pub bytes: Span<u8>,
}

/// A tensor of a span; codes and votes are bytes, steps and offsets of groups halves, all else is `f32`.
pub fn tensor<T>(name: impl Into<String>, content: Content, shape: &[usize], span: Span<T>) -> Tensor {
    let dtype = match content {
        Content::Codes(..) | Content::Votes(_) | Content::Blocks => Dtype::U8,
        Content::Halves => Dtype::F16,
        Content::Values | Content::Scales | Content::Means | Content::Squares => Dtype::F32,
    };
    Tensor { name: name.into(), dtype, shape: shape.to_vec(), content, bytes: Span::new(span.segment, span.offset, span.bytes()) }
}

impl Tensor {
    /// Checks its values in a file, which has it.
    fn validate(&self, file: &dyn TensorFile) -> Result<()> {
        let view = view(file, &self.name, self.dtype, &self.shape)?;
        let result = self.content.validate(file.path().display(), &self.name, &view.bytes()?);
        view.release();
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
                let half = |part: &str, span: Span<f16>| {
                    let shape = [spec.out_features, span.len() / spec.out_features];
                    tensor(format!("{}.{part}", spec.name), Content::Halves, &shape, span)
                };
                match grid.scales {
                    Scales::Row(scale) => {
                        tensors.push(tensor(format!("{}.scale", spec.name), Content::Scales, &[spec.out_features], scale))
                    }
                    Scales::Group32 { step } => tensors.push(half("step", step)),
                    Scales::Group32Offset { step, offset } => tensors.extend([half("step", step), half("offset", offset)]),
                }
            }
            Storage::Float(value) => {
                tensors.push(tensor(format!("{}.weight", spec.name), Content::Values, &[spec.out_features, spec.in_features], *value))
            }
            Storage::Blocks(BlockWeight { bytes, .. }) => {
                let shape = [spec.out_features, bytes.len() / spec.out_features];
                tensors.push(tensor(format!("{}.blocks", spec.name), Content::Blocks, &shape, *bytes));
            }
        }
    }
    tensors.extend(p.specs.vectors.iter().zip(&p.vectors).map(|(spec, &value)| tensor(&spec.name, Content::Values, &spec.shape, value)));
    tensors
}

/// A tensor of a file, which has to be of this type and shape.
///
/// # Errors
/// Bad input where it is missing or another.
pub fn view<'a>(file: &'a dyn TensorFile, name: &str, dtype: Dtype, shape: &[usize]) -> Result<View<'a>> {
    let view = file.view(name)?;
    if view.dtype != dtype || view.shape != shape {
        return Err(Error::invalid(
            format!("{}: tensor {name}", file.path().display()),
            format!("{dtype:?} {shape:?}"),
            format!("{:?} {:?}", view.dtype, view.shape),
            "use the configuration that the checkpoint was made with",
        ));
    }
    Ok(view)
}

/// Parameters that lie in the file itself, checksums verified where it has them, and values checked; on the CPU nothing is copied.
///
/// # Errors
/// A tensor that is missing, damaged, of another type or shape, or with a value that no run saves; one that does not lie in the file as it is used.
pub fn map<B: Backend>(backend: &mut B, specs: Specs, file: &dyn TensorFile) -> Result<Parameters> {
    let mapped = Parameters::place(specs, |name, dtype, shape| {
        let view = view(file, name, dtype, shape)?;
        match view.mapping() {
            Some((mapping, range)) if range.start.is_multiple_of(dtype.block().1) => Ok(backend.map(mapping, range)),
            _ => {
                let subject = format!("{}: tensor {name}", file.path().display());
                let found = format!("one that has to be moved first, in {}", file.kind());
                Err(Error::invalid(subject, "a tensor that can be used where it lies", found, "give a checkpoint of this program"))
            }
        }
    })?;
    validate(&parameters(&mapped), file)?;
    Ok(mapped)
}

/// Verifies the checksums of tensors, where the file has them, and that their values can have been saved by a run.
///
/// # Errors
/// A tensor that is missing, damaged, of another type or shape, or with a value that no run saves.
pub fn validate(tensors: &[Tensor], file: &dyn TensorFile) -> Result<()> {
    let used: BTreeSet<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    file.verify(&|name| used.contains(name))?;
    tensors.iter().try_for_each(|tensor| tensor.validate(file))
}

/// Fills tensors from a file whose checksums were verified.
///
/// # Errors
/// A tensor that is missing or of another type or shape: the configuration does not match the file. One with a value that no run saves.
pub fn load<B: Backend>(backend: &mut B, tensors: &[Tensor], file: &dyn TensorFile) -> Result<()> {
    for tensor in tensors {
        tensor.validate(file)?;
        let view = view(file, &tensor.name, tensor.dtype, &tensor.shape)?;
        backend.upload(tensor.bytes, &view.bytes()?);
        view.release();
    }
    Ok(())
}
