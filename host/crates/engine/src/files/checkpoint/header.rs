//! The header of a checkpoint: layout of the tensors, canonical bytes, and the parser that accepts nothing else.

use std::collections::BTreeMap;
use std::ops::Range;

use safetensors::tensor::TensorInfo;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::files::dtype::Dtype;
use crate::files::kinds::kind_of;
use crate::{Error, Result};

/// Version of the layout and of the meaning of the names in it.
pub const FORMAT_VERSION: &str = "1";

/// Metadata keys that start with this are written by this module and refused from the caller.
const RESERVED: &str = "primal.";
/// The metadata key of the format version, by which files of this module are known.
pub const VERSION_KEY: &str = "primal.format";
const HEADER_SUM_KEY: &str = "primal.header_xxh3";
const TENSOR_SUM_PREFIX: &str = "primal.xxh3/";

/// Bytes of the length that starts the file.
const PREFIX: usize = 8;
/// Where the data may start: a cache line, and the widest vector load.
const DATA_ALIGN: usize = 64;
/// Readers of safetensors refuse longer headers.
const MAX_HEADER: usize = 100_000_000;

pub(super) const DAMAGED_HINT: &str = "the file is damaged or incomplete: use an earlier checkpoint of the run (the other step-*.safetensors beside it), or copy it again from where it came";
pub(super) const EMPTY: &str = "an empty file";
const FOREIGN_HINT: &str = "pass a checkpoint that `primal-host train` wrote (RUN/checkpoints/step-<N>.safetensors); if this was one it is damaged, use an earlier one of the run; \
    another program's model is imported first: primal-host import model FILE --out MODEL.safetensors";

/// One tensor of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorEntry {
    /// Element type.
    pub dtype: Dtype,
    /// Row-major shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Bytes of the file that hold the tensor.
    pub range: Range<usize>,
    /// XXH3-128 of the tensor's bytes.
    pub checksum: u128,
}

/// What the header of a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The caller's metadata, without what this module adds.
    pub metadata: BTreeMap<String, String>,
    /// The tensors by name; their ranges are positions in the file.
    pub tensors: BTreeMap<String, TensorEntry>,
    /// Length of the whole file in bytes.
    pub file_len: usize,
}

/// The JSON of a header, as the safetensors specification has it.
#[derive(Serialize, Deserialize)]
struct Json {
    #[serde(rename = "__metadata__")]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    tensors: BTreeMap<String, TensorInfo>,
}

impl Header {
    /// Lays out tensors given as (name, type, shape), with all checksums zero; the ranges are final, as a checksum has a fixed width.
    ///
    /// # Errors
    /// Bad input where a name comes twice or is reserved, or a size overflows or is no whole number of bytes.
    pub fn layout(
        subject: &str,
        metadata: &BTreeMap<String, String>,
        tensors: impl IntoIterator<Item = (String, Dtype, Vec<usize>)>,
    ) -> Result<Self> {
        if let Some(key) = metadata.keys().find(|key| key.starts_with(RESERVED)) {
            return Err(Error::invalid(
                subject,
                format!("metadata keys that do not start with `{RESERVED}`"),
                format!("`{key}`"),
                "choose another key: these are written by the checkpoint format itself",
            ));
        }
        let mut entries = BTreeMap::new();
        for (name, dtype, shape) in tensors {
            let checksum = 0;
            let range = 0..byte_len(subject, &name, dtype, &shape)?;
            let entry = TensorEntry { dtype, shape, range, checksum };
            let reserved = name == "__metadata__";
            if reserved || entries.insert(name.clone(), entry).is_some() {
                return Err(Error::invalid(
                    subject,
                    "tensors with different names, none of them `__metadata__`",
                    format!("another `{name}`"),
                    "give every tensor a name of its own",
                ));
            }
        }
        let mut order: Vec<&mut TensorEntry> = entries.values_mut().collect();
        // Stable: equal alignments stay in the order of their names.
        order.sort_by_key(|entry| std::cmp::Reverse(alignment(entry.dtype)));
        let mut end = 0usize;
        for entry in order {
            let start = end;
            end = end.checked_add(entry.range.len()).ok_or_else(|| too_large(subject))?;
            entry.range = start..end;
        }
        let mut header = Self { metadata: metadata.clone(), tensors: entries, file_len: 0 };
        // Ranges count from the start of the data until its position is known, which only the length of the JSON decides.
        let start = PREFIX + padded(header.json(0).len());
        if start - PREFIX > MAX_HEADER {
            return Err(Error::invalid(
                subject,
                format!("metadata and tensor names of at most {MAX_HEADER} bytes in all"),
                format!("{} bytes", start - PREFIX),
                "store large values as tensors",
            ));
        }
        header.file_len = start.checked_add(end).filter(|&len| isize::try_from(len).is_ok()).ok_or_else(|| too_large(subject))?;
        for entry in header.tensors.values_mut() {
            entry.range = start + entry.range.start..start + entry.range.end;
        }
        Ok(header)
    }

    /// The bytes of the file before the data: length, JSON, padding.
    pub fn encode(&self) -> Vec<u8> {
        let start = self.data_start();
        let json = self.json(start);
        let mut bytes = Vec::with_capacity(start);
        bytes.extend_from_slice(&((start - PREFIX) as u64).to_le_bytes());
        bytes.extend_from_slice(&json);
        debug_assert_eq!(PREFIX + padded(json.len()), start);
        bytes.resize(start, b' ');
        bytes
    }

    /// Position of the first byte of data in the file; a multiple of 64.
    pub fn data_start(&self) -> usize {
        let data: usize = self.tensors.values().map(|entry| entry.range.len()).sum();
        self.file_len - data
    }

    /// The JSON with its own checksum in it; `start` is subtracted from the ranges.
    fn json(&self, start: usize) -> Vec<u8> {
        let mut metadata = self.metadata.clone();
        metadata.insert(VERSION_KEY.into(), FORMAT_VERSION.into());
        for (name, entry) in &self.tensors {
            metadata.insert(format!("{TENSOR_SUM_PREFIX}{name}"), hex(entry.checksum));
        }
        let tensors = self.tensors.iter().map(|(name, entry)| {
            let info = TensorInfo {
                dtype: entry.dtype.to_safetensors().expect("a type of safetensors: `byte_len` asks for one"),
                shape: entry.shape.clone(),
                data_offsets: (entry.range.start - start, entry.range.end - start),
            };
            (name.clone(), info)
        });
        let mut json = Json { metadata: None, tensors: tensors.collect() };
        json.metadata = Some(metadata.clone());
        let sum = xxh3_128(&to_json(&json));
        metadata.insert(HEADER_SUM_KEY.into(), hex(sum));
        json.metadata = Some(metadata);
        to_json(&json)
    }
}

/// Parses and verifies the header of a whole checkpoint file held in `bytes`; `subject` names the file in messages. The data itself is not read.
///
/// # Errors
/// Bad input, with a message for each of: empty, another kind of file, a safetensors file of another program, another format version, a damaged
/// header, a file too short or too long for its header.
pub fn parse_header(subject: &str, bytes: &[u8]) -> Result<Header> {
    let json_bytes = header_bytes(subject, bytes)?;
    let json: Json =
        serde_json::from_slice(json_bytes).map_err(|error| damaged(subject, format!("a header that cannot be read ({error})")))?;
    let mut stored = json.metadata.unwrap_or_default();
    match stored.get(VERSION_KEY).map(String::as_str) {
        Some(FORMAT_VERSION) => {}
        Some(other) => {
            return Err(Error::invalid(
                subject,
                format!("a checkpoint of format version {FORMAT_VERSION}"),
                format!("version {other:?}"),
                "use the version of primal-host that wrote it; if this one did, the file is damaged: use an earlier checkpoint of the run",
            ));
        }
        None => {
            return Err(foreign(subject, format!("a safetensors file of another program (its metadata have no `{VERSION_KEY}`)")));
        }
    }
    let mut sums = BTreeMap::new();
    stored.retain(|key, value| {
        if let Some(name) = key.strip_prefix(TENSOR_SUM_PREFIX) {
            sums.insert(name.to_owned(), u128::from_str_radix(value, 16).unwrap_or(0));
        }
        !key.starts_with(RESERVED)
    });
    let known = |(name, info): (String, TensorInfo)| Some((name, Dtype::from_safetensors(info.dtype)?, info.shape));
    let tensors: Option<Vec<_>> = json.tensors.into_iter().map(known).collect();
    let tensors = tensors.ok_or_else(|| damaged(subject, "a header of unknown types"))?;
    let mut header =
        Header::layout(subject, &stored, tensors).map_err(|error| damaged(subject, format!("a header that makes no sense ({error})")))?;
    for (name, entry) in &mut header.tensors {
        entry.checksum = sums.get(name).copied().unwrap_or(0);
    }
    let canonical = header.encode();
    if bytes.get(..canonical.len()) != Some(&canonical[..]) || canonical.len() != PREFIX + json_bytes.len() {
        return Err(damaged(subject, "a header that does not match its checksum"));
    }
    let (found, expected) = (bytes.len(), header.file_len);
    if found != expected {
        let what = if found < expected { "cut short" } else { "followed by foreign bytes" };
        return Err(damaged(subject, format!("one that is {what} ({found} bytes instead of {expected})")));
    }
    Ok(header)
}

/// Whether a file is meant to be a checkpoint: its header has a key that only this module writes, of which damage leaves some.
pub(super) fn is_meant(bytes: &[u8]) -> bool {
    let keys = [VERSION_KEY, HEADER_SUM_KEY, TENSOR_SUM_PREFIX];
    let length = bytes.first_chunk::<PREFIX>().map_or(0, |prefix| u64::from_le_bytes(*prefix));
    let end = usize::try_from(length).unwrap_or(MAX_HEADER).min(MAX_HEADER) + PREFIX;
    let header = &bytes[..end.min(bytes.len())];
    bytes.get(PREFIX) == Some(&b'{') && keys.iter().any(|key| header.windows(key.len()).any(|part| part == key.as_bytes()))
}

/// The header's JSON with its padding, or what the file seems to be instead.
fn header_bytes<'a>(subject: &str, bytes: &'a [u8]) -> Result<&'a [u8]> {
    if bytes.is_empty() {
        return Err(damaged(subject, EMPTY));
    }
    let starts_as_json = bytes.get(PREFIX) == Some(&b'{');
    let length = bytes.first_chunk::<PREFIX>().map(|prefix| u64::from_le_bytes(*prefix));
    match length.and_then(|length| usize::try_from(length).ok()) {
        Some(length) if starts_as_json && length <= MAX_HEADER => bytes[PREFIX..].get(..length).ok_or_else(|| {
            damaged(subject, format!("a file of {} bytes that is cut short inside its header of {length} bytes", bytes.len()))
        }),
        _ if starts_as_json => Err(damaged(subject, "a header of impossible length")),
        _ if bytes.len() <= PREFIX => Err(damaged(subject, format!("a file of only {} bytes", bytes.len()))),
        _ => Err(foreign(subject, kind_of(bytes).unwrap_or("something that is no safetensors file"))),
    }
}

pub(super) fn damaged(subject: &str, found: impl ToString) -> Error {
    Error::invalid(subject, "an undamaged checkpoint", found, DAMAGED_HINT)
}

fn foreign(subject: &str, found: impl ToString) -> Error {
    Error::invalid(subject, "a checkpoint written by primal-host", found, FOREIGN_HINT)
}

fn too_large(subject: &str) -> Error {
    Error::invalid(subject, "tensors that fit in the address space", "more bytes than that", "check the shapes of the model")
}

/// Bytes of a tensor.
fn byte_len(subject: &str, name: &str, dtype: Dtype, shape: &[usize]) -> Result<usize> {
    let len = shape.iter().try_fold(1usize, |len, &dim| len.checked_mul(dim));
    dtype.to_safetensors().and(len).and_then(|len| dtype.byte_len(len)).ok_or_else(|| {
        Error::invalid(
            subject,
            format!("tensor `{name}` of a type of safetensors and a whole number of bytes that fits in memory"),
            format!("{dtype} {shape:?}"),
            "check the shapes of the model",
        )
    })
}

/// Alignment in bytes that elements of the type ask for; types below a byte ask for one.
fn alignment(dtype: Dtype) -> usize {
    match dtype.block() {
        (1, bytes) => bytes,
        _ => 0,
    }
}

fn padded(json_len: usize) -> usize {
    (PREFIX + json_len).next_multiple_of(DATA_ALIGN) - PREFIX
}

fn hex(checksum: u128) -> String {
    format!("{checksum:032x}")
}

fn to_json(json: &Json) -> Vec<u8> {
    serde_json::to_vec(json).expect("strings, integers and unit variants always serialise")
}
