//! Published HiFi-GAN generators, in any file of tensors: names and weight norm brought to one form.
//!
//! Known are those of jik876/hifi-gan (`generator_v1`, `g_02500000`: a dictionary with the key `generator`) and of SpeechBrain
//! (`generator.ckpt`: a state dictionary whose modules are wrapped once more), with weight norm (Salimans & Kingma 2016) as `weight_g` and
//! `weight_v`, as `parametrizations.weight.original0` and `original1`, or folded in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::config::{HifiganConfig, OUTER_KERNEL, Padding, Resblock};
use crate::files::checkpoint::LARGEST;
use crate::files::{self, TensorFile};
use crate::{Error, Result};

const HINT: &str = "give a HiFi-GAN generator of jik876/hifi-gan (generator_v1, g_02500000) or SpeechBrain (generator.ckpt)";
/// What errors call the key of a file's dictionary.
pub const KEY: &str = "the key of the generator";
/// The key that holds the generator where none is given, if the file has it.
const USUAL_KEY: &str = "generator";
/// Names in a message, at most.
const NAMED: usize = 8;

/// Shape and values of tensors, by name.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A generator's tensors under the names of jik876/hifi-gan, weight norm to be folded in; their values are not read yet.
#[derive(Debug)]
pub struct Generator {
    file: Box<dyn TensorFile>,
    subject: String,
    origins: BTreeMap<String, TensorOrigin>,
    /// How its convolutions go on beyond the ends: SpeechBrain's differ.
    pub padding: Padding,
}

/// A tensor of the file.
#[derive(Clone, Debug)]
struct Stored {
    name: String,
    shape: Vec<usize>,
    bytes: usize,
}

/// Where a tensor comes from.
#[derive(Debug)]
enum TensorOrigin {
    Whole(Stored),
    /// `g` and `v` of weight norm.
    Normed(Stored, Stored),
}

impl TensorOrigin {
    fn shape(&self) -> &[usize] {
        match self {
            Self::Whole(tensor) | Self::Normed(_, tensor) => &tensor.shape,
        }
    }

    fn stored(&self) -> impl Iterator<Item = &Stored> {
        let (first, second) = match self {
            Self::Whole(tensor) => (tensor, None),
            Self::Normed(gain, v) => (gain, Some(v)),
        };
        std::iter::once(first).chain(second)
    }
}

/// Reads everything but the values of a file of tensors: those under `key`, or else under `generator` or at its root. What it says of their sizes
/// is within what the file has.
///
/// # Errors
/// I/O errors; bad input for what is no file of tensors, has no generator in it, or a tensor that makes no sense. Where the key is not there the
/// error's subject is [`KEY`].
pub fn open(path: &Path, key: Option<&str>) -> Result<Generator> {
    let subject = path.display().to_string();
    let file = files::open(path)?;
    let prefix = prefix(&*file, key)?;
    let mut named = BTreeMap::new();
    let mut padding = Padding::Zeros;
    for stored in file.names() {
        let Some(name) = stored.strip_prefix(&prefix) else { continue };
        if name == "conv_pre.conv.bias" {
            padding = Padding::Reflect;
        }
        let view = file.view(stored)?;
        let tensor = Stored { name: stored.into(), shape: view.shape.to_vec(), bytes: view.byte_len() };
        if let Some(other) = named.insert(plain_name(name), tensor) {
            return Err(Error::invalid(&subject, "different names", format!("`{stored}` and `{}`", other.name), HINT));
        }
    }
    if !named.keys().any(|name| name.starts_with("conv_pre.")) {
        let found = format!("{} tensors, of {:?}", named.len(), groups(named.keys().map(String::as_str)));
        return Err(Error::invalid(&subject, "a generator, with a tensor `conv_pre`", found, "name the key that has it"));
    }
    let origins = paired(&subject, named)?;
    require_within(&subject, &origins, file.file_len())?;
    Ok(Generator { file, subject, origins, padding })
}

/// What the names of the generator's tensors begin with.
fn prefix(file: &dyn TensorFile, key: Option<&str>) -> Result<String> {
    let prefix = format!("{}.", key.unwrap_or(USUAL_KEY));
    match file.names().any(|name| name.starts_with(&prefix)) {
        true => Ok(prefix),
        false if key.is_none() => Ok(String::new()),
        false => {
            let found = format!("only {:?} in {}", groups(file.names()), file.path().display());
            Err(Error::invalid(KEY, format!("a key of tensors, not `{}`", key.unwrap_or_default()), found, "name another key"))
        }
    }
}

/// The first parts of names, some of them.
fn groups<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let all: BTreeSet<&str> = names.map(|name| name.split('.').next().unwrap_or(name)).collect();
    all.into_iter().take(NAMED).collect()
}

/// Checks that the tensors take no more bytes than the file has: one may have more values than are stored, by a stride of 0.
fn require_within(subject: &str, origins: &BTreeMap<String, TensorOrigin>, bytes: usize) -> Result<()> {
    let tensors = || origins.values().flat_map(TensorOrigin::stored);
    if tensors().fold(0usize, |total, tensor| total.saturating_add(tensor.bytes)) <= bytes {
        return Ok(());
    }
    let largest = tensors().max_by_key(|tensor| tensor.bytes).map(|tensor| format!("`{}` {:?}", tensor.name, tensor.shape));
    let expected = format!("tensors within the {bytes} bytes of the file");
    Err(Error::invalid(subject, expected, format!("more, the largest {}", largest.unwrap_or_default()), HINT))
}

/// `ups.0.conv.parametrizations.weight.original1` is `ups.0.weight_v` to jik876/hifi-gan.
fn plain_name(name: &str) -> String {
    let name = name.strip_prefix("module.").unwrap_or(name);
    name.replace(".conv.", ".")
        .replace("parametrizations.weight.original0", "weight_g")
        .replace("parametrizations.weight.original1", "weight_v")
}

/// Joins the two parts of weight norm.
fn paired(subject: &str, mut named: BTreeMap<String, Stored>) -> Result<BTreeMap<String, TensorOrigin>> {
    let mut origins = BTreeMap::new();
    let beside = |one: &str, other: &str| Error::invalid(subject, format!("`{one}` beside `{other}`"), "none", HINT);
    while let Some((name, tensor)) = named.pop_first() {
        // `weight_g` comes before its `weight_v`.
        let (name, origin) = if let Some(layer) = name.strip_suffix(".weight_g") {
            let v = named.remove(&format!("{layer}.weight_v")).ok_or_else(|| beside(&format!("{layer}.weight_v"), &name))?;
            (format!("{layer}.weight"), TensorOrigin::Normed(tensor, v))
        } else if let Some(layer) = name.strip_suffix(".weight_v") {
            return Err(beside(&format!("{layer}.weight_g"), &name));
        } else {
            (name, TensorOrigin::Whole(tensor))
        };
        if let Some(_other) = origins.insert(name.clone(), origin) {
            return Err(Error::invalid(subject, format!("either `{name}` or its `weight_g` and `weight_v`"), "both", HINT));
        }
    }
    Ok(origins)
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

impl Generator {
    /// What the file says of itself.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        self.file.metadata()
    }

    /// Names and shapes.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.origins.iter().map(|(name, origin)| (name.as_str(), origin.shape()))
    }

    fn read(&self, tensor: &Stored) -> Result<Vec<f32>> {
        let bad = |found: String| {
            Error::invalid(&self.subject, format!("`{}` with finite float values up to {LARGEST}", tensor.name), found, HINT)
        };
        let view = self.file.view(&tensor.name)?;
        let values = view.floats()?.ok_or_else(|| bad(view.dtype.to_string()))?;
        match values.iter().find(|value| !(-LARGEST..=LARGEST).contains(*value)) {
            Some(value) => Err(bad(value.to_string())),
            None => Ok(values),
        }
    }

    /// Reads the values, weight norm folded in; checksums are verified where the file has them.
    ///
    /// # Errors
    /// Bad input for a damaged tensor, or one with values that no generator has.
    pub fn values(&self) -> Result<Tensors> {
        let used: BTreeSet<&str> = self.origins.values().flat_map(TensorOrigin::stored).map(|tensor| tensor.name.as_str()).collect();
        self.file.verify(&|name| used.contains(name))?;
        let read = |(name, origin): (&String, &TensorOrigin)| {
            let values = match origin {
                TensorOrigin::Whole(tensor) => self.read(tensor)?,
                TensorOrigin::Normed(gain, v) => fold(&self.subject, name, (&v.shape, &self.read(v)?), (&gain.shape, &self.read(gain)?))?,
            };
            Ok((name.clone(), (origin.shape().to_vec(), values)))
        };
        self.origins.iter().map(read).collect()
    }

    /// The number of mel bands that its first layer sees.
    pub fn num_mels(&self) -> usize {
        self.origins.get("conv_pre.weight").and_then(|origin| origin.shape().get(1).copied()).unwrap_or(0)
    }

    /// The configuration, where the shapes are those of V1, V2 or V3 (any number of channels): rates and dilations leave no trace in others.
    pub fn infer(&self) -> Option<HifiganConfig> {
        let shape = |name: &str| self.origins.get(name).map(TensorOrigin::shape);
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
