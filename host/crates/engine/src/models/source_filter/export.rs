//! What the training exports (safetensors with the names of its modules, any floats), brought into the form of [`super::VocoderFile`].

use std::collections::{BTreeMap, BTreeSet};

use bytemuck::cast_slice;
use primal_device::grid::{Grid, ScaleForm, row_bytes};

use super::config::{PITCH_KERNEL, SourceFilterConfig};
use super::network::Network;
use super::weights::ARCHITECTURE;
use crate::backend::Scales;
use crate::files::TensorFile;
use crate::files::checkpoint::{Dtype, LARGEST};
use crate::nn::fit::{Fitted, fit};
use crate::nn::kept::{self, Kept};
use crate::nn::parameters::{MatrixSpec, Specs};
use crate::{Error, Result};

const HINT: &str = "give the safetensors that models/voices/train_vocoder.py exported";

/// A vocoder as training left it.
pub struct Exported<'a> {
    file: &'a dyn TensorFile,
    subject: String,
    /// The network's shape.
    pub config: SourceFilterConfig,
}

/// A tensor to be written.
pub struct Stored {
    /// Its name.
    pub name: String,
    /// Its type.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, little-endian.
    pub bytes: Vec<u8>,
}

/// A vocoder's tensors, and what became of its weights.
pub struct Converted {
    /// All tensors.
    pub tensors: Vec<Stored>,
    /// The metadata key [`kept::KEY`].
    pub kept: String,
    /// Weights of all matrices.
    pub weights: usize,
    /// Signal to error of those on a grid, in decibels; none of floats.
    pub signal_to_error: Option<f64>,
}

/// Whether a file is one that training exported.
pub fn is_export(file: &dyn TensorFile) -> bool {
    file.metadata().get("architecture").is_some_and(|found| found == ARCHITECTURE)
        && file.find("pre.weight").is_some_and(|view| view.shape.len() == 3)
}

impl<'a> Exported<'a> {
    /// Reads what the metadata say.
    ///
    /// # Errors
    /// Bad input for what is no such file.
    pub fn new(file: &'a dyn TensorFile) -> Result<Self> {
        let subject = file.path().display().to_string();
        if !is_export(file) {
            let found = format!("architecture {:?} in {}", file.metadata().get("architecture"), file.kind());
            return Err(Error::invalid(subject, "a source-filter vocoder as its training exported it", found, HINT));
        }
        let text = file.meta("config")?;
        let config: SourceFilterConfig =
            serde_json::from_str(text).map_err(|error| Error::invalid(&subject, "JSON in the metadata `config`", error, HINT))?;
        config.validate(&subject)?;
        Ok(Self { file, subject, config })
    }

    /// Converts all tensors; matrices on `grid` with scales of rows by least squares, or in floats.
    ///
    /// # Errors
    /// Bad input that names a tensor that is missing, extra, of another shape, or has a value that no vocoder has.
    pub fn convert(&self, grid: Option<&'static Grid>) -> Result<Converted> {
        let (_, specs) = Network::new(&self.config);
        let mut values = self.values(&specs)?;
        let mut tensors = Vec::new();
        let (mut signal, mut error) = (0.0, 0.0);
        let mut matrix = |spec: &MatrixSpec, values: Vec<f32>| {
            let (rows, columns) = (spec.out_features, spec.in_features);
            let Some(grid) = grid else {
                tensors.push(Stored::floats(format!("{}.weight", spec.name), &[rows, columns], &values));
                return;
            };
            let fitted = fit(&values, columns, grid, ScaleForm::Row);
            for (value, rounded) in values.iter().zip(fitted.values(columns, grid)) {
                signal += f64::from(*value).powi(2);
                error += f64::from(value - rounded).powi(2);
            }
            let Fitted { codes, scales: Scales::Row(scale) } = fitted else { unreachable!("scales of rows were asked for") };
            tensors.push(Stored {
                name: format!("{}.codes", spec.name),
                dtype: Dtype::U8,
                shape: vec![rows, row_bytes(columns)],
                bytes: codes,
            });
            tensors.push(Stored::floats(format!("{}.scale", spec.name), &[rows], &scale));
        };
        for spec in &specs.matrices {
            matrix(spec, values.remove(&spec.name).expect("all were read"));
        }
        for spec in &specs.vectors {
            tensors.push(Stored::floats(spec.name.clone(), &spec.shape, &values.remove(&spec.name).expect("all were read")));
        }
        let kept = grid.map_or(Kept::Float, |grid| Kept::Grid(grid, ScaleForm::Row));
        Ok(Converted {
            tensors,
            kept: kept::to_json(specs.matrices.iter().map(|spec| (spec.name.as_str(), kept))),
            weights: specs.matrix_weights(),
            signal_to_error: grid.map(|_| 10.0 * f64::log10(signal / error)),
        })
    }

    /// The values of all parameters by name, in the layout of the ops; the blocks' scales of channels are part of their last layers.
    fn values(&self, specs: &Specs) -> Result<BTreeMap<String, Vec<f32>>> {
        let mut read = BTreeSet::new();
        let mut values = BTreeMap::new();
        for spec in &specs.matrices {
            let (kernel, is_linear) = match spec.name.as_str() {
                "pre" => (self.config.kernel, false),
                "pitch.out" => (1, false),
                name => {
                    if name.starts_with("pitch") {
                        (PITCH_KERNEL, false)
                    } else {
                        (1, true)
                    }
                }
            };
            let inputs = spec.in_features / kernel;
            let mut shape = vec![spec.out_features, inputs];
            shape.extend((!is_linear).then_some(kernel));
            let source = self.read(format!("{}.weight", spec.name), &shape, &mut read)?;
            values.insert(spec.name.clone(), source.chunks_exact(spec.in_features).flat_map(|row| transposed(row, kernel)).collect());
        }
        for spec in &specs.vectors {
            // Norms have other names there.
            let name = spec.name.replace(".gamma", ".weight").replace(".beta", ".bias");
            values.insert(
                spec.name.clone(),
                match *spec.shape.as_slice() {
                    [kernel, channels] => transposed(&self.read(name, &[channels, 1, kernel], &mut read)?, kernel),
                    _ => self.read(name, &spec.shape, &mut read)?,
                },
            );
        }
        for block in 0..self.config.blocks {
            let scale = self.read(format!("blocks.{block}.scale"), &[self.config.channels], &mut read)?;
            let mut scaled = |name: String| {
                let rows = values.get_mut(&name).expect("a layer of each block");
                let width = rows.len() / scale.len();
                rows.chunks_exact_mut(width).zip(&scale).for_each(|(row, scale)| row.iter_mut().for_each(|value| *value *= scale));
            };
            scaled(format!("blocks.{block}.down"));
            scaled(format!("blocks.{block}.down.bias"));
        }
        match self.file.names().find(|name| !read.contains(*name)) {
            Some(extra) => Err(Error::invalid(&self.subject, "only the tensors of its configuration", format!("`{extra}` besides"), HINT)),
            None => Ok(values),
        }
    }

    fn read(&self, name: String, shape: &[usize], read: &mut BTreeSet<String>) -> Result<Vec<f32>> {
        let view = self.file.view(&name)?;
        let bad = |expected: &str, found: String| Error::invalid(&self.subject, format!("`{name}` {expected}"), found, HINT);
        if view.shape != shape {
            return Err(bad(&format!("{shape:?}"), format!("{:?}", view.shape)));
        }
        let values = view.floats()?.ok_or_else(|| bad("of floats", view.dtype.to_string()))?;
        if let Some(value) = values.iter().find(|value| !(-LARGEST..=LARGEST).contains(*value)) {
            return Err(bad(&format!("with finite values up to {LARGEST}"), value.to_string()));
        }
        read.insert(name);
        Ok(values)
    }
}

/// `[channels, kernel]` as `[kernel, channels]`.
fn transposed(values: &[f32], kernel: usize) -> Vec<f32> {
    (0..kernel).flat_map(|tap| values.iter().skip(tap).step_by(kernel).copied()).collect()
}

impl Stored {
    fn floats(name: String, shape: &[usize], values: &[f32]) -> Self {
        Self { name, dtype: Dtype::F32, shape: shape.to_vec(), bytes: cast_slice(values).to_vec() }
    }
}
