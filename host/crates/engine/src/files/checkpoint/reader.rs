//! Reading a checkpoint: memory-mapped, verified, without copies.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytemuck::{AnyBitPattern, try_cast_slice};
use memmap2::Mmap;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use super::header::{DAMAGED_HINT, EMPTY, Header, damaged, is_meant, parse_header};
use crate::files::dtype::Dtype;
use crate::files::mapped::{self, FileBytes};
use crate::files::tensor_file::{Format, OTHER_MODEL, OpenedFile, TensorFile, View};
use crate::{Error, Result};

/// An open checkpoint; clones share the mapping.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    bytes: FileBytes,
    header: Arc<Header>,
}

/// A tensor of an open checkpoint.
#[derive(Debug, Clone)]
pub struct MappedTensor<'a> {
    /// Element type.
    pub dtype: Dtype,
    /// Row-major shape; empty for a scalar.
    pub shape: &'a [usize],
    /// The elements, little-endian, in the mapping.
    pub bytes: &'a [u8],
    /// Where `bytes` lie in [`Checkpoint::mapping`].
    pub range: Range<usize>,
}

/// Types that a tensor can be read as.
pub trait Element: AnyBitPattern {
    /// The type in the file.
    const DTYPE: Dtype;
}

macro_rules! element {
    ($($rust:ty => $dtype:ident),*) => { $(impl Element for $rust { const DTYPE: Dtype = Dtype::$dtype; })* };
}
element!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64, f32 => F32, f64 => F64);

impl Checkpoint {
    /// Maps the file and verifies its header and length; the data are read when used, see [`Self::verify`].
    ///
    /// # Errors
    /// I/O errors, and bad input for what is no undamaged checkpoint.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let hint = "give the path of a checkpoint (RUN/checkpoints/step-<N>.safetensors); another program's model is imported first: \
            primal-host import model FOLDER --out MODEL.safetensors";
        // Mapping nothing is an error of its own; this one says more.
        let bytes = mapped::open(path, "a checkpoint file", hint)?.ok_or_else(|| damaged(&path.display().to_string(), EMPTY))?;
        Self::from_opened(OpenedFile { path: path.to_owned(), bytes })
    }

    /// Opens a checkpoint and compares the checksum of every tensor.
    ///
    /// # Errors
    /// As [`Self::open`] and [`Self::verify`].
    pub fn open_verified(path: impl AsRef<Path>) -> Result<Self> {
        let checkpoint = Self::open(path)?;
        checkpoint.verify()?;
        Ok(checkpoint)
    }

    /// A checkpoint from a copy of `bytes`; `name` stands for the path in messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        parse_header(name, bytes)?;
        Self::from_opened(OpenedFile { path: name.into(), bytes: mapped::copy(Path::new(name), bytes)? })
    }

    pub(in crate::files) fn from_opened(OpenedFile { path, bytes }: OpenedFile) -> Result<Self> {
        let header = Arc::new(parse_header(&path.display().to_string(), &bytes)?);
        Ok(Self { path, bytes, header })
    }

    /// Reads all data and compares the checksum of every tensor, in parallel.
    ///
    /// # Errors
    /// Bad input that names the first damaged tensor.
    pub fn verify(&self) -> Result<()> {
        self.verify_those(|_| true)
    }

    /// Compares the checksums of the tensors whose names `wanted` accepts; the others are not read.
    ///
    /// # Errors
    /// Bad input that names the first damaged tensor of those.
    pub fn verify_those(&self, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let tensors: Vec<_> = self.header.tensors.iter().filter(|(name, _)| wanted(name)).collect();
        let differing: Vec<(&String, u128, u128)> = tensors
            .into_par_iter()
            .map(|(name, entry)| {
                let found = xxh3_128(&self.bytes[entry.range.clone()]);
                self.release(&entry.range);
                (name, entry.checksum, found)
            })
            .filter(|(_, expected, found)| expected != found)
            .collect();
        let Some((name, expected, found)) = differing.first() else {
            return Ok(());
        };
        let others = match differing.len() - 1 {
            0 => String::new(),
            n => format!(" ({n} more tensors differ)"),
        };
        Err(Error::invalid(
            self.path.display(),
            format!("checksum {expected:032x} of tensor `{name}`"),
            format!("{found:032x}{others}"),
            DAMAGED_HINT,
        ))
    }

    /// Gives the memory under a tensor's bytes ([`MappedTensor::range`]) back once they are used, as [`FileBytes::release`] does.
    pub fn release(&self, range: &Range<usize>) {
        self.bytes.release(range);
    }

    /// The path under which the checkpoint was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the writer stored beside the tensors.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.header.metadata
    }

    /// A metadata value parsed as `T`, such as the step.
    ///
    /// # Errors
    /// Bad input where the key is missing or its value is no `T`.
    pub fn parse_meta<T: std::str::FromStr>(&self, key: &str) -> Result<T> {
        (self as &dyn TensorFile).parse_meta(key)
    }

    /// The header: every tensor's type, shape, place and checksum.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.header.tensors.keys().map(String::as_str)
    }

    /// The mapped file, for back ends that keep a [`MappedTensor::range`] of it.
    pub fn mapping(&self) -> &Arc<Mmap> {
        self.bytes.map()
    }

    /// A tensor by name.
    ///
    /// # Errors
    /// Bad input where there is none.
    pub fn tensor(&self, name: &str) -> Result<MappedTensor<'_>> {
        let View { dtype, shape, .. } = self.view(name)?;
        let range = self.header.tensors[name].range.clone();
        Ok(MappedTensor { dtype, shape, bytes: &self.bytes[range.clone()], range })
    }

    /// The elements of the tensor `name`, which has to have this type and shape.
    ///
    /// # Errors
    /// Bad input where it is missing or another.
    pub fn elements<T: Element>(&self, name: &str, shape: &[usize]) -> Result<&[T]> {
        let view = self.tensor(name)?;
        if view.dtype != T::DTYPE || view.shape != shape {
            return Err(self.mismatch(format!("tensor `{name}` to be {} {shape:?}", T::DTYPE), format!("{} {:?}", view.dtype, view.shape)));
        }
        try_cast_slice(view.bytes).map_err(|error| {
            let expected = format!("tensor `{name}` aligned for {}", T::DTYPE);
            self.mismatch(expected, format!("byte {} ({error})", view.range.start))
        })
    }

    /// The elements of a tensor of `f32`, of that name and shape.
    ///
    /// # Errors
    /// As [`Self::elements`].
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        self.elements(name, shape)
    }

    /// The elements of a tensor of `u8`, of that name and shape.
    ///
    /// # Errors
    /// As [`Self::elements`].
    pub fn u8(&self, name: &str, shape: &[usize]) -> Result<&[u8]> {
        self.elements(name, shape)
    }

    /// The elements of a tensor of `i8`, of that name and shape.
    ///
    /// # Errors
    /// As [`Self::elements`].
    pub fn i8(&self, name: &str, shape: &[usize]) -> Result<&[i8]> {
        self.elements(name, shape)
    }

    /// The elements of a tensor of `u32`, of that name and shape.
    ///
    /// # Errors
    /// As [`Self::elements`].
    pub fn u32(&self, name: &str, shape: &[usize]) -> Result<&[u32]> {
        self.elements(name, shape)
    }

    fn mismatch(&self, expected: impl ToString, found: impl ToString) -> Error {
        Error::invalid(self.path.display(), expected, found, OTHER_MODEL)
    }
}

/// The files of this program.
pub const FORMAT: Format =
    Format { name: "a checkpoint of this program", is: is_meant, open: |source| Ok(Box::new(Checkpoint::from_opened(source)?)) };

impl TensorFile for Checkpoint {
    fn kind(&self) -> &'static str {
        FORMAT.name
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn file_len(&self) -> usize {
        self.bytes.len()
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.header.tensors.keys().map(String::as_str))
    }

    fn find(&self, name: &str) -> Option<View<'_>> {
        let entry = self.header.tensors.get(name)?;
        Some(View::mapped(entry.dtype, &entry.shape, &self.bytes, entry.range.clone()))
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.header.metadata
    }

    fn verify(&self, wanted: &dyn Fn(&str) -> bool) -> Result<bool> {
        self.verify_those(wanted).map(|()| true)
    }
}
