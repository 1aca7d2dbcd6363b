//! Writing GGUF files: streamed, atomic and durable.

use std::io::{BufWriter, Write};
use std::path::Path;

use super::header::{ALIGNMENT_KEY, Fault, Header, MAGIC, VERSION, alignment};
use super::types::{number_of, supported};
use super::value::{Value, encode_string};
use crate::files::checkpoint::TensorRef;
use crate::files::durable::{Unfinished, atomically, write_error};
use crate::{Error, Result};

const HINT: &str = "give metadata and tensors as GGUF has them";

/// Writes metadata and tensors, in the order given, at `path`: the whole file or nothing, as [`atomically`] does. `general.alignment` counts if it is among
/// the metadata; the keys that llama.cpp asks for are the caller's business.
///
/// Of a file that was read, metadata and tensors are kept to the byte. The version becomes 3, the data lie in the order of the tensors, and the padding
/// between them is zeros, whatever the file had.
///
/// # Errors
/// Bad input where [`Gguf`](super::Gguf) would refuse the file; I/O errors with a hint.
pub fn save(path: &Path, metadata: &[(String, Value)], tensors: &[TensorRef]) -> Result<()> {
    let layout = Layout::of(&path.display().to_string(), metadata, tensors)?;
    atomically(path, layout.file_len, |file| layout.write(file, path, tensors))
}

/// As [`save`], in a file that does not have its name yet.
///
/// # Errors
/// As [`save`].
pub fn save_in(out: &mut Unfinished, metadata: &[(String, Value)], tensors: &[TensorRef]) -> Result<()> {
    let path = out.destination().to_owned();
    let layout = Layout::of(&path.display().to_string(), metadata, tensors)?;
    layout.write(out.file(), &path, tensors)
}

/// The bytes that [`save`] would write.
///
/// # Errors
/// As [`save`].
pub fn encode(metadata: &[(String, Value)], tensors: &[TensorRef]) -> Result<Vec<u8>> {
    let layout = Layout::of("GGUF", metadata, tensors)?;
    let mut out = Vec::with_capacity(layout.file_len);
    layout.write(&mut out, Path::new("memory"), tensors)?;
    Ok(out)
}

struct Layout {
    /// Everything before the data, padded.
    header: Vec<u8>,
    alignment: usize,
    file_len: usize,
    /// Bytes of each tensor.
    lens: Vec<usize>,
}

impl Layout {
    fn of(subject: &str, metadata: &[(String, Value)], tensors: &[TensorRef]) -> Result<Self> {
        let bad = |expected: String, found: String| Error::invalid(subject, expected, found, HINT);
        let refused = |Fault { expected, found, .. }| bad(expected, found);
        let asked = metadata.iter().find(|(key, _)| key == ALIGNMENT_KEY).map(|(_, value)| value);
        let alignment = alignment(asked).map_err(refused)?;
        let mut header = MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata {
            encode_string(key, &mut header);
            header.extend((value.kind() as u32).to_le_bytes());
            value.encode(&mut header);
        }
        let (mut offset, mut lens) = (0usize, Vec::new());
        for tensor in tensors {
            let number = number_of(tensor.dtype)
                .ok_or_else(|| bad(format!("tensors of type {}", supported()), format!("`{}` of type {}", tensor.name, tensor.dtype)))?;
            encode_string(&tensor.name, &mut header);
            header.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().rev().for_each(|&size| header.extend((size as u64).to_le_bytes()));
            header.extend(number.to_le_bytes());
            header.extend((offset as u64).to_le_bytes());
            let end = tensor.dtype.tensor_len(&tensor.shape).and_then(|len| {
                lens.push(len);
                offset.checked_add(len)?.checked_next_multiple_of(alignment)
            });
            offset = end.ok_or_else(|| {
                let expected = "rows of whole blocks that fit in memory".into();
                bad(expected, format!("`{}` {} {:?}", tensor.name, tensor.dtype, tensor.shape))
            })?;
        }
        header.resize(header.len().next_multiple_of(alignment), 0);
        let file_len = header.len().checked_add(offset).filter(|&len| isize::try_from(len).is_ok());
        let file_len = file_len.ok_or_else(|| bad("tensors that fit in the address space".into(), "more bytes than that".into()))?;
        // Whatever else may not be: one place says so.
        Header::parse(&header, file_len).map_err(refused)?;
        Ok(Self { header, alignment, file_len, lens })
    }

    fn write(&self, out: impl Write, path: &Path, tensors: &[TensorRef]) -> Result<()> {
        let fail = |error| write_error(path, self.file_len, error);
        let mut out = BufWriter::with_capacity(1 << 20, out);
        out.write_all(&self.header).map_err(fail)?;
        for (tensor, &len) in tensors.iter().zip(&self.lens) {
            tensor.for_each_chunk(path, len, &mut |bytes| out.write_all(bytes).map_err(fail))?;
            let padding = len.next_multiple_of(self.alignment) - len;
            std::io::copy(&mut std::io::Read::take(std::io::repeat(0), padding as u64), &mut out).map_err(fail)?;
        }
        out.flush().map_err(fail)
    }
}
