//! A vocoder's file: safetensors with the names of jik876/hifi-gan, weight norm folded in, `F32`, `F16`, `BF16`, or `I8` where a tensor
//! `<name>.scale` (`F32`) has a factor for each of the weight's rows.
//!
//! The metadata hold `architecture` (`hifigan`), `config` and `mel` (JSON, of which `num_mels` counts here); any other keys are kept. Whoever wrote the file: those of
//! `primal-host import` have checksums besides, which are verified.

use std::collections::BTreeMap;
use std::path::Path;

use crate::files::Dtype;

use super::config::{ConvolutionSpec, Convolutions, HifiganConfig, Step};
use crate::files::checkpoint::LARGEST;
use crate::files::{self, TensorFile, View};
use crate::{Error, Result};

/// What the engine needs of the spectrograms that a vocoder was trained on.
#[derive(serde::Deserialize)]
struct Bands {
    num_mels: usize,
}

/// Bands of a frame, at most.
const MOST_BANDS: usize = 1 << 14;
/// The value of the metadata key `architecture`.
pub const ARCHITECTURE: &str = "hifigan";
const HINT: &str = "give a HiFi-GAN generator as safetensors; `primal-host import hifigan` makes one of a PyTorch checkpoint";
/// Names in a message, at most.
const NAMED: usize = 4;

/// An open file of a vocoder, all of whose shapes were checked.
pub struct VocoderFile {
    name: String,
    file: Box<dyn TensorFile>,
    /// The generator's shape.
    pub config: HifiganConfig,
    /// Mel bands of a frame.
    pub num_mels: usize,
    /// Everything the file says of itself.
    pub metadata: BTreeMap<String, String>,
}

impl std::fmt::Debug for VocoderFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VocoderFile")
            .field("name", &self.name)
            .field("config", &self.config)
            .field("num_mels", &self.num_mels)
            .finish_non_exhaustive()
    }
}

impl VocoderFile {
    /// Maps a file and checks everything.
    ///
    /// # Errors
    /// I/O errors; bad input that names what is missing, extra, of another shape, or has a value that no vocoder has.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(files::open(path)?)
    }

    /// A vocoder of bytes in memory; `name` stands for the path in messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        Self::new(files::from_bytes(name, bytes)?)
    }

    /// Checks everything.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn new(file: Box<dyn TensorFile>) -> Result<Self> {
        let (name, metadata) = (file.path().display().to_string(), file.metadata().clone());
        match metadata.get("architecture").map(String::as_str) {
            Some(ARCHITECTURE) => {}
            found => {
                let found = format!("{found:?} in {}", file.kind());
                return Err(Error::invalid(name, format!("metadata `architecture` = {ARCHITECTURE}"), found, HINT));
            }
        }
        let config: HifiganConfig = parse(&name, &metadata, "config")?;
        config.validate(&name)?;
        let Bands { num_mels } = parse(&name, &metadata, "mel")?;
        if !(1..=MOST_BANDS).contains(&num_mels) {
            return Err(Error::invalid(&name, format!("metadata `mel` with a num_mels of 1 to {MOST_BANDS}"), num_mels, HINT));
        }
        check_shapes(&name, &config.convolutions(num_mels), &*file)?;
        file.verify(&|_| true)?;
        let vocoder = Self { name, file, config, num_mels, metadata };
        for layer in vocoder.config.convolutions(num_mels).all {
            vocoder.values(&format!("{}.weight", layer.name))?;
            vocoder.values(&format!("{}.bias", layer.name))?;
        }
        Ok(vocoder)
    }

    /// The weight and bias of a layer in the layout of the ops; see [`crate::ops::ConvolutionShape`] and
    /// [`crate::ops::ConvTranspose1d`]. Layers after a stage get the factor that makes a mean of the sum of its blocks.
    ///
    /// # Errors
    /// Bad input that names a tensor with a value that is not finite.
    pub fn weights(&self, convolutions: &Convolutions, index: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        let layer = &convolutions.all[index];
        let bias = self.values(&format!("{}.bias", layer.name))?;
        let mut weight = to_ops(layer, &self.values(&format!("{}.weight", layer.name))?);
        // A leaky ReLU lies between the mean and these layers: it commutes with a positive factor.
        let before = if index == convolutions.post {
            convolutions.stages.last()
        } else {
            convolutions.stages.windows(2).find(|s| s[1].up == index).map(|s| &s[0])
        };
        if let Some(stage) = before {
            let factor = 1.0 / stage.blocks.len() as f32;
            weight.iter_mut().for_each(|w| *w *= factor);
        }
        Ok((weight, bias))
    }

    /// The values of one of its weights or biases, in the order of the file.
    ///
    /// # Errors
    /// Bad input that names a tensor with a value that is not finite.
    ///
    /// # Panics
    /// If its configuration asks for no such tensor.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        let read = |name: &str| self.file.find(name).map(|view| to_f32(&view)).transpose();
        let mut values = read(name)?.expect("its shape was checked");
        if let Some(scale) = read(&scale_of(name))? {
            self.require(&scale_of(name), "finite factors above 0", &scale, |factor| factor > 0.0 && factor <= LARGEST)?;
            let row = values.len() / scale.len();
            values.chunks_exact_mut(row).zip(scale).for_each(|(row, scale)| row.iter_mut().for_each(|value| *value *= scale));
        }
        self.require(name, &format!("finite values up to {LARGEST}"), &values, |value| value.abs() <= LARGEST)?;
        Ok(values)
    }

    fn require(&self, name: &str, expected: &str, values: &[f32], is_right: impl Fn(f32) -> bool) -> Result<()> {
        values.iter().find(|&&value| !is_right(value)).map_or(Ok(()), |value| {
            Err(Error::invalid(&self.name, format!("{expected} in `{name}`"), value, "the file is damaged: make it anew"))
        })
    }
}

/// The tensor with the factors of an `I8` weight's rows.
pub fn scale_of(weight: &str) -> String {
    format!("{weight}.scale")
}

/// Values of one of the four types that [`VocoderFile`] accepts.
fn to_f32(view: &View) -> Result<Vec<f32>> {
    Ok(match view.floats()? {
        Some(values) => values,
        None => view.bytes()?.iter().map(|&byte| f32::from(byte as i8)).collect(),
    })
}

/// A value that the metadata hold as JSON; `name` is that of the file.
///
/// # Errors
/// There is none, or it does not parse.
pub fn parse<T: serde::de::DeserializeOwned>(name: &str, metadata: &BTreeMap<String, String>, key: &str) -> Result<T> {
    let text = metadata.get(key).ok_or_else(|| Error::invalid(name, format!("metadata `{key}`"), "none", HINT))?;
    serde_json::from_str(text).map_err(|error| Error::invalid(name, format!("JSON in the metadata `{key}`"), error, HINT))
}

/// Compares the tensors of a file with those that the layers ask for.
fn check_shapes(name: &str, convolutions: &Convolutions, file: &dyn TensorFile) -> Result<()> {
    let mut found: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut scales = Vec::new();
    for tensor in file.names() {
        let view = file.view(tensor)?;
        match view.dtype {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 => {}
            Dtype::I8 => scales.push((scale_of(tensor), view.shape.iter().take(1).copied().collect::<Vec<_>>())),
            other => return Err(Error::invalid(name, format!("`{tensor}` of type F32, F16, BF16 or I8"), other, HINT)),
        }
        found.insert(tensor.into(), view.shape.to_vec());
    }
    for (scale, rows) in scales {
        let shape = found.remove(&scale);
        if shape.as_ref() != Some(&rows) || file.find(&scale).is_some_and(|view| view.dtype != Dtype::F32) {
            let other = shape.map_or("none".into(), |shape| format!("another, {shape:?}"));
            return Err(Error::invalid(name, format!("`{scale}` of type F32 and shape {rows:?}"), other, HINT));
        }
    }
    compare(name, convolutions, found.iter().map(|(tensor, shape)| (tensor.as_str(), shape.as_slice())), HINT)
}

/// Checks that the tensors `found`, by name and shape, are those of the layers.
///
/// # Errors
/// Bad input that names what is of another shape, missing or extra.
pub fn compare<'a>(name: &str, convolutions: &Convolutions, found: impl Iterator<Item = (&'a str, &'a [usize])>, hint: &str) -> Result<()> {
    let mut found: BTreeMap<&str, &[usize]> = found.collect();
    let (mut expected, mut differing) = (Vec::new(), Vec::new());
    for layer in &convolutions.all {
        for (part, shape) in [("weight", layer.weight_shape().to_vec()), ("bias", vec![layer.outputs])] {
            let tensor = format!("{}.{part}", layer.name);
            match found.remove(tensor.as_str()) {
                Some(other) if other == shape => {}
                Some(other) => {
                    expected.push(format!("`{tensor}` {shape:?}"));
                    differing.push(format!("{other:?}"));
                }
                None => {
                    expected.push(format!("`{tensor}` {shape:?}"));
                    differing.push("none".into());
                }
            }
        }
    }
    let listed = |all: &[String]| {
        let more = all.len().saturating_sub(NAMED);
        all[..all.len() - more].join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
    };
    if !expected.is_empty() {
        return Err(Error::invalid(name, listed(&expected), listed(&differing), hint));
    }
    if !found.is_empty() {
        let extra: Vec<String> = found.keys().map(|tensor| format!("`{tensor}`")).collect();
        return Err(Error::invalid(name, "only the tensors of its configuration", format!("{} besides", listed(&extra)), hint));
    }
    Ok(())
}

/// A weight of a file, of [`ConvolutionSpec::weight_shape`], in the layout of the ops.
fn to_ops(layer: &ConvolutionSpec, weight: &[f32]) -> Vec<f32> {
    let (inputs, outputs, kernel) = (layer.inputs, layer.outputs, layer.kernel);
    let mut values = vec![0.0f32; weight.len()];
    for (index, &value) in weight.iter().enumerate() {
        let [first, second, tap] = [index / kernel / layer.weight_shape()[1], index / kernel % layer.weight_shape()[1], index % kernel];
        let at = match layer.step {
            Step::Dilation(_) => (first * kernel + tap) * inputs + second,
            Step::Stride(_) => (tap * outputs + second) * inputs + first,
        };
        values[at] = value;
    }
    values
}
