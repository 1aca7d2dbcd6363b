//! Files of named tensors, of any format: what [`open()`](super::open()) gives.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::Dtype;

use crate::{Error, Result};

/// What to do about a file that holds something else than it should.
pub const OTHER_MODEL: &str = "it is of another model or program version: give the configuration that it was trained with, or another file";

/// An open file of named tensors, whose header was checked against its length.
pub trait TensorFile: Debug + Send + Sync {
    /// What it is, for messages: "a safetensors file".
    fn kind(&self) -> &'static str;

    /// The path under which the file was opened, or the name of bytes in memory.
    fn path(&self) -> &Path;

    /// Bytes of the whole file.
    fn file_len(&self) -> usize;

    /// The names of the tensors, sorted, each once.
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_>;

    /// A tensor by name; its elements are not read yet.
    fn find(&self, name: &str) -> Option<View<'_>>;

    /// The mapped file, for back ends that keep a [`View::range`] of it; none where tensors do not lie in the file as they are used.
    fn mapping(&self) -> Option<&Arc<Mmap>>;

    /// What the writer stored beside the tensors.
    fn metadata(&self) -> &BTreeMap<String, String>;

    /// Reads the tensors whose names `wanted` accepts and compares their checksums; whether the format has any.
    ///
    /// # Errors
    /// Bad input that names the first damaged tensor.
    fn verify(&self, _wanted: &dyn Fn(&str) -> bool) -> Result<bool> {
        Ok(false)
    }

    /// Gives memory under a range of the mapping back, which a later use takes again.
    fn release(&self, _range: &Range<usize>) {}

    /// A tensor that has to be there.
    ///
    /// # Errors
    /// Bad input where it is not, which names the nearest.
    fn view(&self, name: &str) -> Result<View<'_>> {
        self.find(name).ok_or_else(|| {
            let nearest = self.names().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
            let found = match nearest {
                Some(nearest) => format!("{} others, the nearest `{nearest}`", self.names().count()),
                None => "no tensor at all".into(),
            };
            Error::invalid(self.path().display(), format!("a tensor `{name}`"), found, OTHER_MODEL)
        })
    }

    /// The value of a metadata key that has to be there.
    ///
    /// # Errors
    /// Bad input where the key is missing.
    fn meta(&self, key: &str) -> Result<&str> {
        self.metadata().get(key).map(String::as_str).ok_or_else(|| {
            let found = format!("only {:?} in {}", self.metadata().keys(), self.kind());
            Error::invalid(self.path().display(), format!("metadata `{key}`"), found, OTHER_MODEL)
        })
    }
}

impl dyn TensorFile + '_ {
    /// A metadata value parsed as `T`, such as the step.
    ///
    /// # Errors
    /// Bad input where the key is missing or its value is no `T`.
    pub fn parse_meta<T: std::str::FromStr>(&self, key: &str) -> Result<T> {
        let text = self.meta(key)?;
        text.parse().map_err(|_| {
            let expected = format!("metadata `{key}` of type {}", std::any::type_name::<T>());
            Error::invalid(self.path().display(), expected, format!("{text:?}"), OTHER_MODEL)
        })
    }
}

/// A tensor of an open file.
pub struct View<'a> {
    /// Element type.
    pub dtype: Dtype,
    /// Row-major shape; empty for a scalar.
    pub shape: &'a [usize],
    elements: Elements<'a>,
}

enum Elements<'a> {
    /// In the mapped file.
    Mapped(&'a Mmap, Range<usize>),
    /// Brought into row-major order when they are asked for.
    Read(Box<dyn Fn() -> Result<Vec<u8>> + 'a>),
}

impl<'a> View<'a> {
    /// A tensor whose elements are a range of a mapped file, little-endian.
    pub fn mapped(dtype: Dtype, shape: &'a [usize], mapping: &'a Mmap, range: Range<usize>) -> Self {
        Self { dtype, shape, elements: Elements::Mapped(mapping, range) }
    }

    /// A tensor whose elements `read` makes, little-endian.
    pub fn read_by(dtype: Dtype, shape: &'a [usize], read: impl Fn() -> Result<Vec<u8>> + 'a) -> Self {
        Self { dtype, shape, elements: Elements::Read(Box::new(read)) }
    }

    /// Number of elements; the largest integer where the shape asks for more.
    pub fn len(&self) -> usize {
        self.shape.iter().try_fold(1usize, |len, &dim| len.checked_mul(dim)).unwrap_or(usize::MAX)
    }

    /// Whether the tensor has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the elements; the largest integer where the shape asks for more.
    pub fn byte_len(&self) -> usize {
        self.len().checked_mul(self.dtype.bitsize()).map_or(usize::MAX, |bits| bits / 8)
    }

    /// Where the elements lie in [`TensorFile::mapping`], if they do.
    pub fn range(&self) -> Option<Range<usize>> {
        match &self.elements {
            Elements::Mapped(_, range) => Some(range.clone()),
            Elements::Read(_) => None,
        }
    }

    /// The elements, little-endian.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn bytes(&self) -> Result<Cow<'a, [u8]>> {
        match &self.elements {
            Elements::Mapped(mapping, range) => Ok(Cow::Borrowed(&mapping[range.clone()])),
            Elements::Read(read) => read().map(Cow::Owned),
        }
    }

    /// The elements as `f32`, rounded where they are `F64`; none where they are no floats.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn floats(&self) -> Result<Option<Vec<f32>>> {
        let convert: fn(&[u8]) -> Vec<f32> = match self.dtype {
            Dtype::F16 => |bytes| each(bytes, |two| f16::from_le_bytes(two).to_f32()),
            Dtype::BF16 => |bytes| each(bytes, |two| bf16::from_le_bytes(two).to_f32()),
            Dtype::F32 => |bytes| each(bytes, f32::from_le_bytes),
            Dtype::F64 => |bytes| each(bytes, |eight| f64::from_le_bytes(eight) as f32),
            _ => return Ok(None),
        };
        Ok(Some(convert(&self.bytes()?)))
    }
}

fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&chunk| value(chunk)).collect()
}

/// What a format makes a [`TensorFile`] of.
pub struct OpenedFile {
    /// The path under which the file was opened, or the name of bytes in memory.
    pub path: PathBuf,
    /// The whole file, which is never empty.
    pub map: Mmap,
    /// Whether `path` is that of the file, from which it can be read again.
    pub(in crate::files) of_file: bool,
}

/// A format of files of tensors.
pub struct Format {
    /// For messages: "a safetensors file".
    pub name: &'static str,
    /// Whether the content of a file is meant to be of this format.
    pub is: fn(&[u8]) -> bool,
    /// Checks everything but the values of the tensors, and takes nothing on trust.
    pub open: fn(OpenedFile) -> Result<Box<dyn TensorFile>>,
}
