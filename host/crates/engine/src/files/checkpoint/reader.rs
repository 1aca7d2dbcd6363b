//! Reading a checkpoint: memory-mapped, verified, without copies.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytemuck::{AnyBitPattern, try_cast_slice};
use memmap2::{Mmap, MmapMut};
use rayon::prelude::*;
use safetensors::Dtype;
use xxhash_rust::xxh3::xxh3_128;

use super::header::{DAMAGED_HINT, EMPTY, Header, damaged, parse_header};
use crate::files::mapped;
use crate::{Error, Result};

/// An open checkpoint; clones share the mapping.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    map: Arc<Mmap>,
    header: Arc<Header>,
    /// Whether the mapping is of a file, from which pages can be read again.
    of_file: bool,
}

/// A tensor of an open checkpoint.
#[derive(Debug, Clone)]
pub struct View<'a> {
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

/// Maps a file to be read; `None` for an empty one. `what` and `hint` are for messages.
///
/// # Errors
/// I/O errors; bad input for what is no file.
pub fn map_file(path: &Path, what: &str, hint: &str) -> Result<Option<Mmap>> {
    let fail = |error| Error::io("reading", path, error, hint);
    let metadata = std::fs::metadata(path).map_err(fail)?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() { "a folder" } else { "something that is no file" };
        return Err(Error::invalid(path.display(), what, found, hint));
    }
    if metadata.len() == 0 {
        return Ok(None);
    }
    let file = File::open(path).map_err(fail)?;
    mapped::map(&file, path).map(Some).map_err(fail)
}

impl Checkpoint {
    /// Maps the file and verifies its header and length; the data are read when used, see [`Self::verify`].
    ///
    /// # Errors
    /// I/O errors, and bad input for what is no undamaged checkpoint.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let hint = "give the path of a checkpoint (RUN/checkpoints/step-<N>.safetensors)";
        // Mapping nothing is an error of its own; this one says more.
        let map = map_file(path, "a checkpoint file", hint)?.ok_or_else(|| damaged(&path.display().to_string(), EMPTY))?;
        Self::from_map(path.to_owned(), map, true)
    }

    /// [`Self::open`] and [`Self::verify`].
    ///
    /// # Errors
    /// Those of both.
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
        let fail = |error| Error::io("reading", Path::new(name), error, "not enough memory for a copy: open it as a file");
        // Anonymous pages rather than a Vec: aligned as a mapped file is.
        let mut map = MmapMut::map_anon(bytes.len()).map_err(fail)?;
        map.copy_from_slice(bytes);
        Self::from_map(name.into(), map.make_read_only().map_err(fail)?, false)
    }

    fn from_map(path: PathBuf, map: Mmap, of_file: bool) -> Result<Self> {
        let header = Arc::new(parse_header(&path.display().to_string(), &map)?);
        let map = Arc::new(map);
        Ok(Self { path, map, header, of_file })
    }

    /// Reads all data and compares the checksum of every tensor, in parallel.
    ///
    /// # Errors
    /// Bad input that names the first damaged tensor.
    pub fn verify(&self) -> Result<()> {
        self.verify_those(|_| true)
    }

    /// [`Self::verify`] for the tensors whose names `wanted` accepts; the others are not read.
    ///
    /// # Errors
    /// As there.
    pub fn verify_those(&self, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let tensors: Vec<_> = self.header.tensors.iter().filter(|(name, _)| wanted(name)).collect();
        let differing: Vec<(&String, u128, u128)> = tensors
            .into_par_iter()
            .map(|(name, entry)| {
                let found = xxh3_128(&self.map[entry.range.clone()]);
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

    /// Gives the memory under a tensor's bytes ([`View::range`]) back once they are used: they stay in the system's cache of the file, from which a
    /// later use maps them again. So reading a checkpoint as large as the memory that training plans does not take that memory twice.
    pub fn release(&self, range: &Range<usize>) {
        #[cfg(unix)]
        if self.of_file && !range.is_empty() {
            // SAFETY: the mapping is read-only and of a file, so dropped pages come back with the same content; anonymous ones would come back empty.
            // It is advice: where the system does not take it, only memory is lost.
            let _ = unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
        }
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the writer stored beside the tensors.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.header.metadata
    }

    /// The value of a metadata key that has to be there.
    ///
    /// # Errors
    /// Bad input where the key is missing.
    pub fn meta(&self, key: &str) -> Result<&str> {
        self.header
            .metadata
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| self.mismatch(format!("metadata `{key}`"), format!("only {:?}", self.header.metadata.keys())))
    }

    /// A metadata value parsed as `T`, such as the step.
    ///
    /// # Errors
    /// Bad input where the key is missing or its value is no `T`.
    pub fn parse_meta<T: std::str::FromStr>(&self, key: &str) -> Result<T> {
        let text = self.meta(key)?;
        text.parse().map_err(|_| {
            let expected = format!("metadata `{key}` of type {}", std::any::type_name::<T>());
            self.mismatch(expected, format!("{text:?}"))
        })
    }

    /// The header: every tensor's type, shape, place and checksum.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.header.tensors.keys().map(String::as_str)
    }

    /// The mapped file, for back ends that keep a [`View::range`] of it.
    pub fn mapping(&self) -> &Arc<Mmap> {
        &self.map
    }

    /// A tensor by name.
    ///
    /// # Errors
    /// Bad input where there is none.
    pub fn tensor(&self, name: &str) -> Result<View<'_>> {
        let entry = self.header.tensors.get(name).ok_or_else(|| {
            let nearest = self.names().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
            let found = match nearest {
                Some(nearest) => format!("{} others, the nearest `{nearest}`", self.header.tensors.len()),
                None => "no tensor at all".into(),
            };
            self.mismatch(format!("a tensor `{name}`"), found)
        })?;
        Ok(View { dtype: entry.dtype, shape: &entry.shape, bytes: &self.map[entry.range.clone()], range: entry.range.clone() })
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

    /// [`Self::elements`] of `f32`.
    ///
    /// # Errors
    /// As there.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        self.elements(name, shape)
    }

    /// [`Self::elements`] of `u8`.
    ///
    /// # Errors
    /// As there.
    pub fn u8(&self, name: &str, shape: &[usize]) -> Result<&[u8]> {
        self.elements(name, shape)
    }

    /// [`Self::elements`] of `i8`.
    ///
    /// # Errors
    /// As there.
    pub fn i8(&self, name: &str, shape: &[usize]) -> Result<&[i8]> {
        self.elements(name, shape)
    }

    /// [`Self::elements`] of `u32`.
    ///
    /// # Errors
    /// As there.
    pub fn u32(&self, name: &str, shape: &[usize]) -> Result<&[u32]> {
        self.elements(name, shape)
    }

    fn mismatch(&self, expected: impl ToString, found: impl ToString) -> Error {
        Error::invalid(
            self.path.display(),
            expected,
            found,
            "the checkpoint is of another model or program version: give the configuration that it was trained with, or another checkpoint",
        )
    }
}
