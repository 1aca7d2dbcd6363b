//! PyTorch checkpoints: the zip archives and the older streams of pickles that `torch.save` writes, read without executing anything.

pub mod pickle;

use std::collections::BTreeMap;
use std::io::{Cursor, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use pytorch_reader::{DType, PytorchError, PytorchReader, Tensor};
use safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive};

use super::tensor_file::{Format, OpenedFile, TensorFile, View};
use crate::{Error, Result};

const HINT: &str = "give a file that `torch.save` wrote of tensors by name; if this is one it is damaged or incomplete: get it again";

/// The files of `torch.save`.
pub const FORMAT: Format = Format { name: "a PyTorch checkpoint", is: is_meant, open: |source| Ok(Box::new(Torch::from_opened(&source)?)) };

/// An open PyTorch checkpoint. Tensors are named by the keys that lead to them, with dots between; they have no checksums that cover all.
#[derive(Debug)]
pub struct Torch {
    path: PathBuf,
    file_len: usize,
    tensors: BTreeMap<String, Tensor>,
    metadata: BTreeMap<String, String>,
}

impl Torch {
    fn from_opened(source: &OpenedFile) -> Result<Self> {
        let (path, bytes) = (&source.path, &source.map);
        let bad = |found: String| Error::invalid(path.display(), FORMAT.name, found, HINT);
        if !source.of_file {
            return Err(bad("bytes in memory, from which none is read".into()));
        }
        require_sane(bytes).map_err(bad)?;
        let reader = PytorchReader::new(path).map_err(|error| match error {
            PytorchError::Io(error) if error.kind() != ErrorKind::UnexpectedEof => {
                Error::io("reading", path, error, "check the path and its permissions")
            }
            error => bad(format!("none: {error}")),
        })?;
        let tensors = reader.into_tensors().into_iter().collect();
        Ok(Self { path: path.clone(), file_len: bytes.len(), tensors, metadata: BTreeMap::new() })
    }

    fn read(&self, tensor: &Tensor) -> Result<Vec<u8>> {
        // A stride of 0 makes many values of one.
        if tensor.byte_len() > self.file_len {
            let (expected, found) = (format!("tensors within the {} bytes of the file", self.file_len), tensor.shape());
            return Err(Error::invalid(self.path.display(), expected, format!("`{}` {found:?}", tensor.name), HINT));
        }
        tensor.read().map_err(|error| Error::invalid(self.path.display(), format!("the values of `{}`", tensor.name), error, HINT))
    }
}

impl TensorFile for Torch {
    fn kind(&self) -> &'static str {
        FORMAT.name
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn file_len(&self) -> usize {
        self.file_len
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.tensors.keys().map(String::as_str))
    }

    fn find(&self, name: &str) -> Option<View<'_>> {
        let tensor = self.tensors.get(name)?;
        Some(View::read_by(dtype(tensor.dtype()), tensor.shape(), || self.read(tensor)))
    }

    fn mapping(&self) -> Option<&Arc<Mmap>> {
        None
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

fn dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}

/// Zip archives, pickles from protocol 2 on, and the tar archives of the first versions.
fn is_meant(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK") || matches!(bytes, [0x80, 2..=5, ..]) || is_tar(bytes)
}

fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

/// Checks what the reader of checkpoints would take on trust.
///
/// # Errors
/// What was found instead, in words.
fn require_sane(bytes: &[u8]) -> Result<(), String> {
    if is_tar(bytes) {
        return Err("a tar archive, as PyTorch wrote before version 0.1.10".into());
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
    let damaged = |error| format!("a zip archive that is damaged: {error}");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let mut claimed = 0u64;
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(damaged)?;
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

// The reader gives values in the byte order of this machine.
const _: () = assert!(cfg!(target_endian = "little"));
