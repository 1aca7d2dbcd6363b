//! Published PyTorch checkpoints of HiFi-GAN generators: read without executing anything, names and weight norm brought to one form.
//!
//! Known are those of jik876/hifi-gan (`generator_v1`, `g_02500000`: a dictionary with the key `generator`) and of SpeechBrain
//! (`generator.ckpt`: a state dictionary whose modules are wrapped once more), with weight norm (Salimans & Kingma 2016) as `weight_g` and
//! `weight_v`, as `parametrizations.weight.original0` and `original1`, or folded in.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use half::{bf16, f16};
use pytorch_reader::{DType, PytorchError, PytorchReader, Tensor};
use zip::{CompressionMethod, ZipArchive};

use super::config::{HifiganConfig, OUTER_KERNEL, Padding, Resblock};
use crate::files::checkpoint::{LARGEST, map_file};
use crate::files::torch::pickle;
use crate::{Error, Result};

const HINT: &str = "give a HiFi-GAN generator of jik876/hifi-gan (generator_v1, g_02500000) or SpeechBrain (generator.ckpt)";

/// Shape and values of tensors, by name.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A generator's tensors under the names of jik876/hifi-gan, weight norm to be folded in; their values are not read yet.
#[derive(Debug)]
pub struct TorchGenerator {
    subject: String,
    parts: BTreeMap<String, Part>,
    /// How its convolutions go on beyond the ends: SpeechBrain's differ.
    pub padding: Padding,
}

/// Where a tensor comes from.
#[derive(Debug)]
enum Part {
    Whole(Tensor),
    /// `g` and `v` of weight norm.
    Normed(Tensor, Tensor),
}

impl Part {
    fn shape(&self) -> &[usize] {
        match self {
            Self::Whole(tensor) | Self::Normed(_, tensor) => tensor.shape(),
        }
    }
}

/// Reads everything but the values of a checkpoint: those under `key`, or else under `generator` or at its root. What it says of their sizes is
/// within what the file has.
///
/// # Errors
/// I/O errors; bad input for what is no PyTorch checkpoint, has no generator in it, or a tensor that makes no sense.
pub fn open(path: &Path, key: Option<&str>) -> Result<TorchGenerator> {
    let subject = path.display().to_string();
    let bad = |found: String| Error::invalid(&subject, "a PyTorch checkpoint", found, HINT);
    let map = map_file(path, "a PyTorch checkpoint", HINT)?.ok_or_else(|| bad("an empty file".into()))?;
    require_sane(&map).map_err(&bad)?;
    let fail = |error: PytorchError| match error {
        PytorchError::Io(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Error::io("reading", path, error, "check the path and its permissions")
        }
        PytorchError::KeyNotFound(found) => Error::invalid(&subject, "a key of that name", found, "name another key"),
        error => bad(format!("none: {error}")),
    };
    let reader = match PytorchReader::with_top_level_key(path, key.unwrap_or("generator")) {
        Err(PytorchError::KeyNotFound(_)) if key.is_none() => PytorchReader::new(path),
        result => result,
    };
    let stored = reader.map_err(fail)?.into_tensors();
    let padding = if stored.contains_key("conv_pre.conv.bias") { Padding::Reflect } else { Padding::Zeros };
    let mut named = BTreeMap::new();
    for (name, tensor) in stored {
        if let Some(other) = named.insert(plain_name(&name), tensor) {
            return Err(Error::invalid(&subject, "different names", format!("`{name}` and `{}`", other.name), HINT));
        }
    }
    if !named.keys().any(|name| name.starts_with("conv_pre.")) {
        let mut found: Vec<&str> = named.keys().map(|name| name.split('.').next().unwrap_or(name)).collect();
        found.dedup();
        found.truncate(8);
        let found = format!("{} tensors, of {found:?}", named.len());
        return Err(Error::invalid(&subject, "a generator, with a tensor `conv_pre`", found, "name the key that has it"));
    }
    let parts = paired(&subject, named)?;
    Ok(TorchGenerator { subject, parts, padding }).and_then(|generator| generator.require_within(map.len()))
}

/// Checks what the reader of checkpoints would take on trust.
///
/// # Errors
/// What was found instead, in words.
fn require_sane(bytes: &[u8]) -> Result<(), String> {
    if bytes.get(257..262) == Some(b"ustar") {
        return Err("a tar archive, as PyTorch wrote before HiFi-GAN was published".into());
    }
    if !bytes.starts_with(b"PK") {
        // Five pickles lie one after another: the magic number, the version, the system, the objects, the keys of their storages. Or there is one.
        let (mut at, mut pickles) = (pickle::measure(bytes)?, 1);
        while at < bytes.len() && pickles < 5 {
            at += pickle::measure(&bytes[at..])?;
            pickles += 1;
        }
        return Ok(());
    }
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| format!("a damaged zip archive: {error}"))?;
    let mut claimed = 0u64;
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|error| format!("a damaged zip archive: {error}"))?;
        let name = entry.name().map_err(|error| error.to_string())?.into_owned();
        if entry.compression() != CompressionMethod::Stored {
            return Err(format!("a compressed entry `{name}`, which `torch.save` never writes"));
        }
        claimed = claimed.saturating_add(entry.size());
        if claimed > bytes.len() as u64 {
            return Err(format!("entries that claim more than its {} bytes", bytes.len()));
        }
        if name.ends_with("data.pkl") {
            let start = entry.data_start().and_then(|start| usize::try_from(start).ok()).unwrap_or(usize::MAX);
            let end = start.saturating_add(entry.size() as usize);
            pickle::measure(bytes.get(start..end).ok_or("a zip archive that is cut short")?)?;
        }
    }
    Ok(())
}

/// `ups.0.conv.parametrizations.weight.original1` is `ups.0.weight_v` to jik876/hifi-gan.
fn plain_name(name: &str) -> String {
    let name = name.strip_prefix("module.").unwrap_or(name);
    name.replace(".conv.", ".")
        .replace("parametrizations.weight.original0", "weight_g")
        .replace("parametrizations.weight.original1", "weight_v")
}

/// Joins the two parts of weight norm.
fn paired(subject: &str, mut named: BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Part>> {
    let mut parts = BTreeMap::new();
    let beside = |one: &str, other: &str| Error::invalid(subject, format!("`{one}` beside `{other}`"), "none", HINT);
    while let Some((name, tensor)) = named.pop_first() {
        // `weight_g` comes before its `weight_v`.
        let part = if let Some(layer) = name.strip_suffix(".weight_g") {
            let v = named.remove(&format!("{layer}.weight_v")).ok_or_else(|| beside(&format!("{layer}.weight_v"), &name))?;
            (format!("{layer}.weight"), Part::Normed(tensor, v))
        } else if let Some(layer) = name.strip_suffix(".weight_v") {
            return Err(beside(&format!("{layer}.weight_g"), &name));
        } else {
            (name, Part::Whole(tensor))
        };
        if let Some(_other) = parts.insert(part.0.clone(), part.1) {
            return Err(Error::invalid(subject, format!("either `{}` or its `weight_g` and `weight_v`", part.0), "both", HINT));
        }
    }
    Ok(parts)
}

/// `w = g · v / ‖v‖`, a norm for each index of the first dimension, which `g` has as its only one that is not 1.
fn fold(subject: &str, name: &str, (shape, v): (&[usize], &[f32]), (gain_shape, g): (&[usize], &[f32])) -> Result<Vec<f32>> {
    let rows = shape.first().copied().unwrap_or(0);
    let expected: Vec<usize> = shape.iter().enumerate().map(|(i, _)| if i == 0 { rows } else { 1 }).collect();
    if gain_shape != expected || rows == 0 || v.is_empty() {
        let expected = format!("`{name}_g` {expected:?}, as `{name}_v` is {shape:?}");
        return Err(Error::invalid(subject, expected, format!("{gain_shape:?}"), HINT));
    }
    let mut weight = Vec::with_capacity(v.len());
    for (row, (v, &g)) in v.chunks_exact(v.len() / rows).zip(g).enumerate() {
        let norm = v.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if norm == 0.0 {
            return Err(Error::invalid(subject, format!("row {row} of `{name}_v` with a norm above 0"), "zeros", HINT));
        }
        weight.extend(v.iter().map(|&x| (f64::from(g) * f64::from(x) / norm) as f32));
    }
    Ok(weight)
}

fn values(subject: &str, tensor: &Tensor) -> Result<Vec<f32>> {
    let bad = |found: String| Error::invalid(subject, format!("`{}` with finite float values up to {LARGEST}", tensor.name), found, HINT);
    let bytes = tensor.read().map_err(|error| bad(error.to_string()))?;
    // The reader gives values in the byte order of this machine.
    let values: Vec<f32> = match tensor.dtype() {
        DType::F32 => bytes.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect(),
        DType::F64 => bytes.chunks_exact(8).map(|b| f64::from_ne_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32).collect(),
        DType::F16 => bytes.chunks_exact(2).map(|b| f16::from_ne_bytes([b[0], b[1]]).to_f32()).collect(),
        DType::BF16 => bytes.chunks_exact(2).map(|b| bf16::from_ne_bytes([b[0], b[1]]).to_f32()).collect(),
        other => return Err(bad(format!("{other:?}"))),
    };
    match values.iter().find(|value| !(-LARGEST..=LARGEST).contains(*value)) {
        Some(value) => Err(bad(value.to_string())),
        None => Ok(values),
    }
}

impl TorchGenerator {
    /// Names and shapes.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.parts.iter().map(|(name, part)| (name.as_str(), part.shape()))
    }

    /// Reads the values, weight norm folded in.
    ///
    /// # Errors
    /// Bad input for a tensor with values that no generator has.
    pub fn values(&self) -> Result<Tensors> {
        let read = |(name, part): (&String, &Part)| {
            let values = match part {
                Part::Whole(tensor) => values(&self.subject, tensor)?,
                Part::Normed(gain, v) => {
                    let (v_values, gains) = (values(&self.subject, v)?, values(&self.subject, gain)?);
                    fold(&self.subject, name, (v.shape(), &v_values), (gain.shape(), &gains))?
                }
            };
            Ok((name.clone(), (part.shape().to_vec(), values)))
        };
        self.parts.iter().map(read).collect()
    }

    /// Checks that the tensors take no more bytes than the file has: one may have more values than are stored, by a stride of 0.
    fn require_within(self, bytes: usize) -> Result<Self> {
        let tensors = self.parts.values().flat_map(|part| match part {
            Part::Whole(tensor) => vec![tensor],
            Part::Normed(gain, v) => vec![gain, v],
        });
        let size = |tensor: &Tensor| tensor.shape().iter().try_fold(tensor.dtype().size(), |size, &len| size.checked_mul(len));
        let total = tensors.clone().try_fold(0usize, |total, tensor| total.checked_add(size(tensor)?));
        if total.is_some_and(|total| total <= bytes) {
            return Ok(self);
        }
        let found = tensors
            .max_by_key(|&tensor| size(tensor).unwrap_or(usize::MAX))
            .map(|tensor| format!("`{}` {:?}", tensor.name, tensor.shape()));
        let expected = format!("tensors within the {bytes} bytes of the file");
        Err(Error::invalid(&self.subject, expected, format!("more, the largest {}", found.unwrap_or_default()), HINT))
    }

    /// The number of mel bands that its first layer sees.
    pub fn num_mels(&self) -> usize {
        self.parts.get("conv_pre.weight").and_then(|part| part.shape().get(1).copied()).unwrap_or(0)
    }

    /// The configuration, where the shapes are those of V1, V2 or V3 (any number of channels): rates and dilations leave no trace in others.
    pub fn infer(&self) -> Option<HifiganConfig> {
        let shape = |name: &str| self.parts.get(name).map(Part::shape);
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
