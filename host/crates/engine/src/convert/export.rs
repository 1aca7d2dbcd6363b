//! Tensors of a model under the names of another program.

use std::path::Path;

use primal_device::grid::ScaleForm;

use super::names::{Style, place};
use super::table::Table;
use super::weights::{Model, Parameter, Rows, target};
use crate::config::GptConfig;
use crate::files::Dtype;
use crate::files::checkpoint::TensorSource;
use crate::nn::kept::Kept;
use crate::ops::rope::RotaryPairs;
use crate::{Error, Result, interrupt};

/// Values that are worked on at a time, but for whole rows.
const PIECE: usize = 1 << 21;

/// A tensor to write.
pub struct Out<'a> {
    /// Its name there.
    pub name: String,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Row-major.
    pub shape: Vec<usize>,
    from: From<'a>,
    is_transposed: bool,
    pairs: RotaryPairs,
    model: &'a Model,
}

enum From<'a> {
    /// Parameters, one behind the other.
    Parameters(Vec<Parameter<'a>>),
    /// As many zeros.
    Zeros,
    /// These bytes.
    Bytes(Vec<u8>),
}

impl<'a> Out<'a> {
    /// All tensors of a model that have parameters here, each in the type that `dtype` says from those of its parameters' rows.
    pub fn all(model: &'a Model, style: Style, pairs: RotaryPairs, mut dtype: impl FnMut(&str, &[Parameter]) -> Dtype) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        // Parts of one tensor come in order: queries, keys, values.
        for parameter in model.parameters() {
            let place = place(&model.table, style, parameter.name());
            match all.iter_mut().find(|out| out.name == place.name) {
                Some(Self { from: From::Parameters(parts), .. }) => parts.push(parameter),
                _ => all.push(Self {
                    name: place.name,
                    dtype: Dtype::F32,
                    shape: Vec::new(),
                    from: From::Parameters(vec![parameter]),
                    is_transposed: place.is_transposed,
                    pairs,
                    model,
                }),
            }
        }
        for out in &mut all {
            let From::Parameters(parts) = &out.from else { continue };
            out.shape = parts[0].shape();
            out.shape[0] *= parts.len();
            if out.is_transposed {
                out.shape.reverse();
            }
            out.dtype = dtype(&out.name, parts);
        }
        all
    }

    /// A tensor of zeros.
    pub fn zeros(model: &'a Model, name: String, len: usize) -> Self {
        let (shape, pairs) = (vec![len], RotaryPairs::Halves);
        Self { name, dtype: Dtype::F32, shape, from: From::Zeros, is_transposed: false, pairs, model }
    }

    /// A tensor of these floats.
    pub fn floats(model: &'a Model, name: String, bytes: Vec<u8>) -> Self {
        let (shape, pairs) = (vec![bytes.len() / 4], RotaryPairs::Halves);
        Self { name, dtype: Dtype::F32, shape, from: From::Bytes(bytes), is_transposed: false, pairs, model }
    }

    /// What is lost by the type: the root of the mean square of differences, relative to that of values.
    ///
    /// # Errors
    /// Parameters that cannot be read.
    pub fn error(&self) -> Result<f64> {
        let From::Parameters(parts) = &self.from else { return Ok(0.0) };
        if parts.iter().all(|part| is_exact(part, self.dtype)) {
            return Ok(0.0);
        }
        let (mut of, mut lost) = (0.0, 0.0);
        for part in parts {
            let [_, cols] = part.lines();
            self.for_each_piece(part, &mut |rows| {
                let values = rows.values(cols);
                let encoded = Rows::Blocks(self.dtype, rows.encode(cols, self.dtype));
                for (value, other) in values.iter().zip(encoded.values(cols)) {
                    of += f64::from(*value).powi(2);
                    lost += (f64::from(*value) - f64::from(other)).powi(2);
                }
                Ok(())
            })?;
        }
        Ok(if of == 0.0 { lost.sqrt() } else { (lost / of).sqrt() })
    }

    fn for_each_piece(&self, part: &Parameter, sink: &mut dyn FnMut(Rows) -> Result<()>) -> Result<()> {
        let [count, cols] = part.lines();
        let step = (PIECE / cols).max(1);
        (0..count).step_by(step).try_for_each(|start| {
            interrupt::check();
            sink(self.model.rows(*part, start..count.min(start + step), self.pairs)?)
        })
    }

    /// Columns as rows: of all parts the first, then of all the second.
    fn transposed(&self, parts: &[Parameter]) -> Result<Vec<u8>> {
        let (size, mut wide) = (self.dtype.block().1, vec![0u8; 0]);
        let [inner, outer] = [self.shape[0], self.shape[1]];
        wide.resize(inner * outer * size, 0);
        let mut column = 0;
        for part in parts {
            let [_, cols] = part.lines();
            self.for_each_piece(part, &mut |rows| {
                let bytes = rows.encode(cols, self.dtype);
                for row in bytes.chunks_exact(cols * size) {
                    for (at, element) in row.chunks_exact(size).enumerate() {
                        wide[(at * outer + column) * size..][..size].copy_from_slice(element);
                    }
                    column += 1;
                }
                Ok(())
            })?;
        }
        Ok(wide)
    }
}

impl TensorSource for Out<'_> {
    fn for_each_chunk(&self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match &self.from {
            From::Zeros => sink(&vec![0; 4 * self.shape.iter().product::<usize>()]),
            From::Bytes(bytes) => sink(bytes),
            From::Parameters(parts) if self.is_transposed => sink(&self.transposed(parts)?),
            From::Parameters(parts) => parts.iter().try_for_each(|part| {
                let [_, cols] = part.lines();
                self.for_each_piece(part, &mut |rows| sink(&rows.encode(cols, self.dtype)))
            }),
        }
    }
}

/// The type that all parts have in GGUF, or the floats that hold any.
pub fn common_target(parts: &[Parameter]) -> Dtype {
    let mut types = parts.iter().map(|part| match part {
        Parameter::Matrix(spec) => target(spec.kept(), spec.in_features),
        Parameter::Vector(_) => Dtype::F32,
    });
    let first = types.next().unwrap_or(Dtype::F32);
    if types.all(|dtype| dtype == first) { first } else { Dtype::F32 }
}

/// Whether a type holds all that a parameter can be.
fn is_exact(part: &Parameter, dtype: Dtype) -> bool {
    match part.kept() {
        Kept::Float => dtype == Dtype::F32,
        Kept::Blocks(own) => dtype == own || dtype == Dtype::F32,
        Kept::Grid(_, scales) => scales != ScaleForm::Row && dtype.block().0 > 1,
    }
}

/// Other programs want the biases of GPT-2, which models that were trained here may not have.
pub fn add_biases<'a>(model: &'a Model, style: Style, tensors: &mut Vec<Out<'a>>) {
    let Table::Gpt(GptConfig { biases: false, dim, layers, .. }) = model.table else { return };
    for i in 0..layers {
        for (layer, len) in [("attention.q", 3 * dim), ("attention.o", dim), ("mlp.fc1", 4 * dim), ("mlp.fc2", dim)] {
            let name = place(&model.table, style, &format!("blocks.{i}.{layer}.bias")).name;
            tensors.push(Out::zeros(model, name, len));
        }
    }
}

/// Refuses a model that no architecture of others is.
pub fn unknown(path: &Path, what: &str) -> Error {
    let hint = "no other program has such a model; give another checkpoint";
    Error::invalid(path.display(), "a model of architecture llama, qwen2, qwen3 or gpt2", what, hint)
}
