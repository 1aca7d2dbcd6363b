//! Writing a checkpoint: streamed, atomic and durable.

use std::collections::BTreeMap;
use std::io::{BufWriter, Cursor, Seek, SeekFrom, Write};
use std::path::Path;

use bytemuck::cast_slice;
use xxhash_rust::xxh3::Xxh3;

use super::header::Header;
use crate::files::dtype::Dtype;
use crate::files::durable::{Unfinished, atomically, write_error};
use crate::{Error, Result};

/// Hashed and handed to the kernel in pieces that stay in the cache between the two.
const CHUNK: usize = 1 << 20;

/// Data of a tensor that does not lie in memory as one slice, such as one that is copied from a device in pieces.
pub trait TensorSource {
    /// Passes all bytes of the tensor to `sink`, first to last, in pieces of any size.
    ///
    /// # Errors
    /// Its own and those of `sink`, which end the save.
    fn for_each_chunk(&self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>;
}

/// Where the bytes of a tensor come from.
#[derive(Clone, Copy)]
pub enum TensorData<'a> {
    /// From memory.
    Bytes(&'a [u8]),
    /// From a source that is asked once.
    Source(&'a dyn TensorSource),
}

/// A tensor to be saved.
#[derive(Clone)]
pub struct TensorRef<'a> {
    /// Name, unique in the checkpoint.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Row-major shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Little-endian elements, as many bytes as type and shape ask for.
    pub data: TensorData<'a>,
}

impl<'a> TensorRef<'a> {
    /// A tensor whose bytes are in memory.
    pub fn new(name: impl Into<String>, dtype: Dtype, shape: &[usize], data: &'a [u8]) -> Self {
        let (name, shape, data) = (name.into(), shape.to_vec(), TensorData::Bytes(data));
        Self { name, dtype, shape, data }
    }

    /// A tensor whose bytes come from `source`, once, while saving.
    pub fn streamed(name: impl Into<String>, dtype: Dtype, shape: &[usize], source: &'a dyn TensorSource) -> Self {
        let (name, shape, data) = (name.into(), shape.to_vec(), TensorData::Source(source));
        Self { name, dtype, shape, data }
    }

    /// A tensor of `f32`.
    pub fn f32(name: impl Into<String>, shape: &[usize], data: &'a [f32]) -> Self {
        Self::new(name, Dtype::F32, shape, cast_slice(data))
    }

    /// A tensor of `u8`, such as packed codes.
    pub fn u8(name: impl Into<String>, shape: &[usize], data: &'a [u8]) -> Self {
        Self::new(name, Dtype::U8, shape, data)
    }

    /// A tensor of `i8`, such as votes.
    pub fn i8(name: impl Into<String>, shape: &[usize], data: &'a [i8]) -> Self {
        Self::new(name, Dtype::I8, shape, cast_slice(data))
    }

    /// A tensor of `u32`.
    pub fn u32(name: impl Into<String>, shape: &[usize], data: &'a [u32]) -> Self {
        Self::new(name, Dtype::U32, shape, cast_slice(data))
    }

    /// Passes the bytes to `sink`, first to last, in pieces that stay in the cache; `path` is for messages.
    ///
    /// # Errors
    /// Those of source and sink; bad input where the bytes are not `expected` in number.
    pub(in crate::files) fn for_each_chunk(&self, path: &Path, expected: usize, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut len = 0;
        let mut counted = |bytes: &[u8]| {
            if len + bytes.len() <= expected {
                bytes.chunks(CHUNK).try_for_each(&mut *sink)?;
            }
            // Counted when written, so that a source which drops this error still fails the save.
            len += bytes.len();
            Ok(())
        };
        match self.data {
            TensorData::Bytes(bytes) => counted(bytes)?,
            TensorData::Source(source) => source.for_each_chunk(&mut counted)?,
        }
        if len != expected {
            return Err(Error::invalid(
                path.display(),
                format!("{expected} bytes of data for tensor `{}`, {} {:?}", self.name, self.dtype, self.shape),
                format!("{len} bytes"),
                "give the shape that the data have",
            ));
        }
        Ok(())
    }
}

/// Saves a checkpoint at `path`: into a temporary file in the same folder, which is synced, renamed to `path`, and its folder synced. No tensor is copied.
///
/// The order of `tensors` does not matter: the same content gives the same bytes.
///
/// # Errors
/// Bad input where names, shapes and data do not fit together; I/O errors with a hint. In each case the temporary file is gone and whatever was at `path`
/// is as it was, except that a failure of the last step (syncing the folder) leaves the new, complete file.
pub fn save(path: &Path, metadata: &BTreeMap<String, String>, tensors: &[TensorRef]) -> Result<()> {
    let header = layout(&path.display().to_string(), metadata, tensors)?;
    atomically(path, header.file_len, |file| write_to(file, path, header, tensors))
}

/// As [`save`], in a file that does not have its name yet.
///
/// # Errors
/// As [`save`].
pub fn save_in(out: &mut Unfinished, metadata: &BTreeMap<String, String>, tensors: &[TensorRef]) -> Result<()> {
    let path = out.destination().to_owned();
    let header = layout(&path.display().to_string(), metadata, tensors)?;
    write_to(out.file(), &path, header, tensors)
}

/// The bytes that [`save`] would write.
///
/// # Errors
/// Bad input where names, shapes and data do not fit together.
pub fn encode(metadata: &BTreeMap<String, String>, tensors: &[TensorRef]) -> Result<Vec<u8>> {
    let header = layout("checkpoint", metadata, tensors)?;
    let mut out = Cursor::new(Vec::with_capacity(header.file_len));
    write_to(&mut out, Path::new("memory"), header, tensors)?;
    Ok(out.into_inner())
}

fn layout(subject: &str, metadata: &BTreeMap<String, String>, tensors: &[TensorRef]) -> Result<Header> {
    let shapes = tensors.iter().map(|tensor| (tensor.name.clone(), tensor.dtype, tensor.shape.clone()));
    Header::layout(subject, metadata, shapes)
}

/// Writes data, then the header in front of it: its length is known, the checksums in it only now, so that each source is asked once.
fn write_to(out: impl Write + Seek, path: &Path, mut header: Header, tensors: &[TensorRef]) -> Result<()> {
    let fail = |error| write_error(path, header.file_len, error);
    let mut out = BufWriter::with_capacity(CHUNK, out);
    let mut order: Vec<&TensorRef> = tensors.iter().collect();
    // Tensors without elements share their start with the next one.
    order.sort_by_key(|tensor| {
        let range = &header.tensors[&tensor.name].range;
        (range.start, range.end)
    });
    out.seek(SeekFrom::Start(header.data_start() as u64)).map_err(fail)?;
    let mut sums = BTreeMap::new();
    for tensor in order {
        let expected = header.tensors[&tensor.name].range.len();
        let mut sum = Xxh3::new();
        tensor.for_each_chunk(path, expected, &mut |chunk| {
            sum.update(chunk);
            out.write_all(chunk).map_err(fail)
        })?;
        sums.insert(&tensor.name, sum.digest128());
    }
    out.rewind().map_err(fail)?;
    for (name, entry) in &mut header.tensors {
        entry.checksum = sums[name];
    }
    let fail = |error| write_error(path, header.file_len, error);
    out.write_all(&header.encode()).map_err(fail)?;
    out.flush().map_err(fail)
}
