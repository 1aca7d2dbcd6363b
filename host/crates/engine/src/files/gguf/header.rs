//! What is in front of the data: magic, version, counts, metadata, tensors. Everything in it is checked against the length of the file, and against limits
//! that no model comes near, before anything is made of it.

use std::collections::BTreeSet;
use std::ops::Range;

use super::cursor::Cursor;
use super::types::{dtype_of, supported};
use super::value::Value;
use crate::files::dtype::Dtype;

pub const MAGIC: &[u8; 4] = b"GGUF";
/// The version that is written; the one before differs in nothing that is read.
pub const VERSION: u32 = 3;
pub const ALIGNMENT_KEY: &str = "general.alignment";
const DEFAULT_ALIGNMENT: usize = 32;
/// Allowed here; the specification has no limit.
const MAX_ALIGNMENT: u32 = 1 << 16;
/// Bytes of a header that are read; those of models have a few megabytes.
const MAX_HEADER: usize = 1 << 27;
const MAX_TENSORS: u64 = 1 << 20;
const MAX_ENTRIES: u64 = 1 << 16;
/// `GGML_MAX_NAME`, which counts a zero at the end; ggml refuses longer names.
const MAX_NAME: usize = 64;
/// `GGML_MAX_DIMS`.
const MAX_DIMS: u32 = 4;
/// By the specification.
const MAX_KEY: usize = 65535;

const DAMAGED: &str = "the file is damaged or incomplete: get it again from where it came";

/// What is wrong with a file.
#[derive(Debug)]
pub struct Fault {
    pub expected: String,
    pub found: String,
    pub hint: &'static str,
}

impl From<String> for Fault {
    fn from(found: String) -> Self {
        Self { expected: "a GGUF file".into(), found, hint: DAMAGED }
    }
}

/// A tensor of a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Unique in the file.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Row-major, so the other way round than in the file; empty for a scalar.
    pub shape: Vec<usize>,
    /// Bytes of the file that hold it.
    pub range: Range<usize>,
}

/// Everything in front of the data.
#[derive(Debug)]
pub struct Header {
    pub version: u32,
    /// Keys in the order of the file, and where their values are, type included.
    pub entries: Vec<(String, Range<usize>)>,
    /// In the order of the file.
    pub tensors: Vec<Tensor>,
    /// Where the data begin.
    pub data_start: usize,
    /// Of the data of each tensor.
    pub alignment: usize,
}

impl Header {
    /// Reads the header that `bytes` begin with, of a file of `file_len` bytes.
    pub fn parse(bytes: &[u8], file_len: usize) -> Result<Self, Fault> {
        let head = &bytes[..bytes.len().min(MAX_HEADER)];
        let mut cursor = Cursor::new(head, MAGIC.len().min(head.len()));
        let header = Self::read(&mut cursor, head, file_len);
        match header {
            Err(_) if cursor.is_short() && head.len() < bytes.len() => Err(Fault {
                expected: format!("a GGUF file with a header of at most {MAX_HEADER} bytes"),
                found: "a longer one".into(),
                hint: DAMAGED,
            }),
            header => header,
        }
    }

    fn read(cursor: &mut Cursor, head: &[u8], file_len: usize) -> Result<Self, Fault> {
        let version = version(cursor)?;
        let tensors = cursor.count_up_to(MAX_TENSORS, "tensors", 25)?;
        let entries = entries(cursor)?;
        let asked = entries.iter().find(|(key, _)| key == ALIGNMENT_KEY).map(|(_, range)| value_at(head, range.clone()));
        let alignment = alignment(asked.as_ref())?;
        let infos = infos(cursor, tensors)?;
        let data_start = cursor.at().next_multiple_of(alignment);
        let tensors = infos.into_iter().map(|info| info.placed(data_start, alignment, file_len)).collect::<Result<Vec<_>, _>>()?;
        require_apart(&tensors)?;
        Ok(Self { version, entries, tensors, data_start, alignment })
    }
}

fn version(cursor: &mut Cursor) -> Result<u32, Fault> {
    let version = cursor.u32()?;
    let found = match version {
        2 | VERSION => return Ok(version),
        1 => "version 1, which only files of August 2023 have".into(),
        _ if version & 0xFFFF == 0 && version != 0 => "one whose numbers are big-endian".into(),
        _ => format!("version {version}"),
    };
    let expected = format!("a little-endian GGUF file of version 2 or {VERSION}");
    Err(Fault { expected, found, hint: "get a newer file of the model, or convert it with llama.cpp" })
}

fn entries(cursor: &mut Cursor) -> Result<Vec<(String, Range<usize>)>, Fault> {
    let count = cursor.count_up_to(MAX_ENTRIES, "metadata", 14)?;
    let (mut entries, mut keys) = (Vec::new(), BTreeSet::new());
    for _ in 0..count {
        let key = cursor.string()?;
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(format!("a metadata key of {} bytes, where 1 to {MAX_KEY} are allowed", key.len()).into());
        }
        if !keys.insert(key) {
            return Err(format!("metadata `{key}` twice").into());
        }
        let start = cursor.at();
        Value::read(cursor).map_err(|found| format!("metadata `{key}` with {found}"))?;
        entries.push((key.to_owned(), start..cursor.at()));
    }
    Ok(entries)
}

/// The value at such a place, which was checked.
pub fn value_at(bytes: &[u8], range: Range<usize>) -> Value<'_> {
    let mut cursor = Cursor::new(&bytes[..range.end], range.start);
    Value::read(&mut cursor).expect("a value that was checked")
}

/// Of the data, by the value of [`ALIGNMENT_KEY`] if there is one.
pub fn alignment(asked: Option<&Value>) -> Result<usize, Fault> {
    match asked {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(&Value::U32(alignment)) if alignment.is_power_of_two() && alignment <= MAX_ALIGNMENT => Ok(alignment as usize),
        Some(other) => {
            let found = match other {
                Value::String(text) => format!("{} bytes of text", text.len()),
                other => format!("{other} ({})", other.kind()),
            };
            Err(format!("`{ALIGNMENT_KEY}` = {found}, where a u32 that is a power of two up to {MAX_ALIGNMENT} is allowed").into())
        }
    }
}

/// What the header says of a tensor.
struct Info {
    tensor: Tensor,
    len: usize,
    /// From where the data begin.
    offset: u64,
}

fn infos(cursor: &mut Cursor, count: usize) -> Result<Vec<Info>, Fault> {
    let (mut infos, mut names) = (Vec::new(), BTreeSet::new());
    for _ in 0..count {
        let name = cursor.string()?;
        if name.is_empty() || name.len() >= MAX_NAME {
            return Err(format!("a tensor name of {} bytes, where 1 to {} are allowed", name.len(), MAX_NAME - 1).into());
        }
        if !names.insert(name) {
            return Err(format!("tensor `{name}` twice").into());
        }
        infos.push(info(name, cursor)?);
    }
    Ok(infos)
}

/// What comes after a name.
fn info(name: &str, cursor: &mut Cursor) -> Result<Info, Fault> {
    let dims = cursor.u32()?;
    if dims > MAX_DIMS {
        return Err(format!("tensor `{name}` of {dims} dimensions, where {MAX_DIMS} are allowed").into());
    }
    let sizes = (0..dims).map(|_| cursor.u64()).collect::<Result<Vec<_>, _>>()?;
    let number = cursor.u32()?;
    let dtype = dtype_of(number).map_err(|unknown| Fault {
        expected: format!("tensors of type {}", supported()),
        found: format!("`{name}` of type {unknown}"),
        hint: "get the model in another quantisation, such as Q4_0, Q4_K_M or Q8_0",
    })?;
    let offset = cursor.u64()?;
    let senseless = || format!("tensor `{name}` of type {dtype} and sizes {sizes:?}, which cannot be");
    if sizes.contains(&0) {
        return Err(senseless().into());
    }
    let shape: Vec<usize> = sizes.iter().rev().map(|&size| size.try_into()).collect::<Result<_, _>>().map_err(|_| senseless())?;
    let len = dtype.tensor_len(&shape).ok_or_else(senseless)?;
    Ok(Info { tensor: Tensor { name: name.to_owned(), dtype, shape, range: 0..0 }, len, offset })
}

impl Info {
    fn placed(self, data_start: usize, alignment: usize, file_len: usize) -> Result<Tensor, Fault> {
        let Self { tensor, len, offset } = self;
        let start = usize::try_from(offset)
            .ok()
            .filter(|offset| offset.is_multiple_of(alignment))
            .and_then(|offset| data_start.checked_add(offset));
        let range = start.and_then(|start| Some(start..start.checked_add(len)?)).filter(|range| range.end <= file_len);
        match range {
            Some(range) => Ok(Tensor { range, ..tensor }),
            None => Err(format!(
                "tensor `{}` of {len} bytes at {offset} of data that begin at byte {data_start} and are aligned to {alignment}, in a file of {file_len} bytes",
                tensor.name
            )
            .into()),
        }
    }
}

/// No two tensors have a byte in common.
fn require_apart(tensors: &[Tensor]) -> Result<(), Fault> {
    let mut sorted: Vec<&Tensor> = tensors.iter().collect();
    sorted.sort_by_key(|tensor| tensor.range.start);
    match sorted.windows(2).find(|pair| pair[0].range.end > pair[1].range.start) {
        Some(pair) => Err(format!("tensors `{}` and `{}` one over the other", pair[0].name, pair[1].name).into()),
        None => Ok(()),
    }
}
