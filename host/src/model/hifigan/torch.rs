//! Published PyTorch checkpoints of HiFi-GAN generators: read without executing anything, names and weight norm brought to one form.
//!
//! Known are those of jik876/hifi-gan (`generator_v1`, `g_02500000`: a dictionary with the key `generator`) and of SpeechBrain
//! (`generator.ckpt`: a state dictionary whose modules are wrapped once more), with weight norm (Salimans & Kingma 2016) as `weight_g` and
//! `weight_v`, as `parametrizations.weight.original0` and `original1`, or folded in.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use pytorch_reader::{DType, PytorchError, PytorchReader, Tensor};

use super::config::{HifiganConfig, OUTER_KERNEL, Padding, Resblock};
use crate::{Error, Result};

const HINT: &str = "give a HiFi-GAN generator of jik876/hifi-gan (generator_v1, g_02500000) or SpeechBrain (generator.ckpt)";

/// Shape and values of tensors, by name.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A generator's tensors under the names of jik876/hifi-gan, weight norm folded in.
#[derive(Debug)]
pub struct TorchGenerator {
    /// All of them.
    pub tensors: Tensors,
    /// How its convolutions go on beyond the ends: SpeechBrain's differ.
    pub padding: Padding,
}

/// Reads a checkpoint.
///
/// # Errors
/// I/O errors; bad input for what is no PyTorch checkpoint, has no generator in it, or a tensor that makes no sense.
pub fn read(path: &Path) -> Result<TorchGenerator> {
    let subject = path.display().to_string();
    let fail = |error: PytorchError| match error {
        PytorchError::Io(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Error::io("reading", path, error, "check the path and its permissions")
        }
        error => Error::bad_input(&subject, "a PyTorch checkpoint", format!("none: {error}"), HINT),
    };
    let reader = match PytorchReader::with_top_level_key(path, "generator") {
        Err(PytorchError::KeyNotFound(_)) => PytorchReader::new(path),
        result => result,
    };
    let stored = reader.map_err(fail)?.into_tensors();
    let padding = if stored.contains_key("conv_pre.conv.bias") { Padding::Reflect } else { Padding::Zeros };
    let mut named = BTreeMap::new();
    for (name, tensor) in &stored {
        if let Some(other) = named.insert(plain_name(name), tensor) {
            return Err(Error::bad_input(&subject, "different names", format!("`{name}` and `{}`", other.name), HINT));
        }
    }
    if !named.keys().any(|name| name.starts_with("conv_pre.")) {
        let mut found: Vec<&str> = stored.keys().map(|name| name.split('.').next().unwrap_or(name)).collect();
        found.sort_unstable();
        found.dedup();
        found.truncate(8);
        return Err(Error::bad_input(
            &subject,
            "a generator, with a tensor `conv_pre`",
            format!("{} tensors, of {found:?}", stored.len()),
            HINT,
        ));
    }
    Ok(TorchGenerator { tensors: folded(&subject, &named)?, padding })
}

/// `ups.0.conv.parametrizations.weight.original1` is `ups.0.weight_v` to jik876/hifi-gan.
fn plain_name(name: &str) -> String {
    let name = name.strip_prefix("module.").unwrap_or(name);
    name.replace(".conv.", ".")
        .replace("parametrizations.weight.original0", "weight_g")
        .replace("parametrizations.weight.original1", "weight_v")
}

fn folded(subject: &str, named: &BTreeMap<String, &Tensor>) -> Result<Tensors> {
    let mut tensors = BTreeMap::new();
    for (name, tensor) in named {
        if let Some(layer) = name.strip_suffix(".weight_v") {
            let partner = named.get(&format!("{layer}.weight_g"));
            let gain = partner.ok_or_else(|| Error::bad_input(subject, format!("`{layer}.weight_g` beside `{name}`"), "none", HINT))?;
            let weight = fold(subject, layer, (tensor.shape(), &values(subject, tensor)?), (gain.shape(), &values(subject, gain)?))?;
            if named.contains_key(&format!("{layer}.weight")) {
                return Err(Error::bad_input(subject, format!("either `{layer}.weight` or `{name}`"), "both", HINT));
            }
            tensors.insert(format!("{layer}.weight"), (tensor.shape().to_vec(), weight));
        } else if let Some(layer) = name.strip_suffix(".weight_g") {
            if !named.contains_key(&format!("{layer}.weight_v")) {
                return Err(Error::bad_input(subject, format!("`{layer}.weight_v` beside `{name}`"), "none", HINT));
            }
        } else {
            tensors.insert(name.clone(), (tensor.shape().to_vec(), values(subject, tensor)?));
        }
    }
    Ok(tensors)
}

/// `w = g · v / ‖v‖`, a norm for each index of the first dimension, which `g` has as its only one that is not 1.
fn fold(subject: &str, layer: &str, (shape, v): (&[usize], &[f32]), (gain_shape, g): (&[usize], &[f32])) -> Result<Vec<f32>> {
    let rows = shape.first().copied().unwrap_or(0);
    let expected: Vec<usize> = shape.iter().enumerate().map(|(i, _)| if i == 0 { rows } else { 1 }).collect();
    if gain_shape != expected || rows == 0 || v.is_empty() {
        let expected = format!("`{layer}.weight_g` {expected:?}, as `{layer}.weight_v` is {shape:?}");
        return Err(Error::bad_input(subject, expected, format!("{gain_shape:?}"), HINT));
    }
    let mut weight = Vec::with_capacity(v.len());
    for (row, (v, &g)) in v.chunks_exact(v.len() / rows).zip(g).enumerate() {
        let norm = v.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if norm == 0.0 {
            return Err(Error::bad_input(subject, format!("row {row} of `{layer}.weight_v` with a norm above 0"), "zeros", HINT));
        }
        weight.extend(v.iter().map(|&x| (f64::from(g) * f64::from(x) / norm) as f32));
    }
    Ok(weight)
}

fn values(subject: &str, tensor: &Tensor) -> Result<Vec<f32>> {
    let bad = |found: String| Error::bad_input(subject, format!("`{}` with finite float values", tensor.name), found, HINT);
    let bytes = tensor.read().map_err(|error| bad(error.to_string()))?;
    // The reader gives values in the byte order of this machine.
    let values: Vec<f32> = match tensor.dtype() {
        DType::F32 => bytes.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect(),
        DType::F64 => bytes.chunks_exact(8).map(|b| f64::from_ne_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32).collect(),
        DType::F16 => bytes.chunks_exact(2).map(|b| f16::from_ne_bytes([b[0], b[1]]).to_f32()).collect(),
        DType::BF16 => bytes.chunks_exact(2).map(|b| bf16::from_ne_bytes([b[0], b[1]]).to_f32()).collect(),
        other => return Err(bad(format!("{other:?}"))),
    };
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(bad(value.to_string())),
        None => Ok(values),
    }
}

impl TorchGenerator {
    /// The configuration, where the shapes are those of V1, V2 or V3 (any number of channels): rates and dilations leave no trace in others.
    pub fn infer(&self) -> Option<HifiganConfig> {
        let shape = |name: &str| self.tensors.get(name).map(|(shape, _)| shape.as_slice());
        let &[channels, _, OUTER_KERNEL] = shape("conv_pre.weight")? else { return None };
        let last = |name: String| shape(&name).and_then(|shape| shape.last().copied());
        let ups: Vec<usize> = (0..).map_while(|i| last(format!("ups.{i}.weight"))).collect();
        let singles = shape("resblocks.0.convs.0.weight").is_some();
        let convs = if singles { "convs" } else { "convs1" };
        let blocks: Vec<(usize, usize)> = (0..)
            .map_while(|i| {
                let kernel = last(format!("resblocks.{i}.{convs}.0.weight"))?;
                Some((kernel, (0..).take_while(|j| shape(&format!("resblocks.{i}.{convs}.{j}.weight")).is_some()).count()))
            })
            .collect();
        let known = [Self::v1(channels), Self::v3(channels)];
        known.into_iter().find(|config| {
            let kernels = config.resblock_kernel_sizes.iter().zip(&config.resblock_dilation_sizes).map(|(&k, d)| (k, d.len()));
            let expected: Vec<_> = std::iter::repeat_n(kernels, ups.len()).flatten().collect();
            singles == (config.resblock == Resblock::Singles) && ups == config.upsample_kernel_sizes && blocks == expected
        })
    }

    fn v1(upsample_initial_channel: usize) -> HifiganConfig {
        HifiganConfig {
            resblock: Resblock::Pairs,
            upsample_rates: vec![8, 8, 2, 2],
            upsample_kernel_sizes: vec![16, 16, 4, 4],
            upsample_initial_channel,
            resblock_kernel_sizes: vec![3, 7, 11],
            resblock_dilation_sizes: vec![vec![1, 3, 5]; 3],
            padding: Padding::Zeros,
        }
    }

    fn v3(upsample_initial_channel: usize) -> HifiganConfig {
        HifiganConfig {
            resblock: Resblock::Singles,
            upsample_rates: vec![8, 8, 4],
            upsample_kernel_sizes: vec![16, 16, 8],
            upsample_initial_channel,
            resblock_kernel_sizes: vec![3, 5, 7],
            resblock_dilation_sizes: vec![vec![1, 2], vec![2, 6], vec![3, 12]],
            padding: Padding::Zeros,
        }
    }
}
