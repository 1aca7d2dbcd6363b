//! An open GGUF file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::header::{Fault, Header, MAGIC, Tensor, value_at};
use super::value::{Array, Value};
use crate::files::mapped::{self, FileBytes};
use crate::files::tensor_file::{Format, OpenedFile, TensorFile, View};
use crate::{Error, Result};

const HINT: &str = "give the path of a GGUF file, as llama.cpp and others use them";
/// Bytes of the longest string that is among the text of the metadata.
const MAX_TEXT: usize = 1 << 16;
const OTHER_MODEL: &str = "get a file that has it: the programs that convert models write it";

/// The files of llama.cpp.
pub const FORMAT: Format =
    Format { name: "a GGUF file", is: |bytes| bytes.starts_with(MAGIC), open: |source| Ok(Box::new(Gguf::from_opened(source)?)) };

/// An open GGUF file, all of whose header was checked; clones share the mapping. Nothing in it tells whether its values are as they were written.
#[derive(Debug, Clone)]
pub struct Gguf {
    path: PathBuf,
    bytes: FileBytes,
    header: Arc<Header>,
    /// Indices of the tensors.
    by_name: BTreeMap<String, usize>,
    /// The values as text, for who knows nothing of GGUF; of arrays, and of strings above 64 KiB, what they are and how long.
    metadata: BTreeMap<String, String>,
}

impl Gguf {
    /// Maps a file and checks its header.
    ///
    /// # Errors
    /// I/O errors; bad input for what is no undamaged GGUF file, or has tensors of other types than are read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match mapped::open(path, FORMAT.name, HINT)? {
            Some(bytes) if (FORMAT.is)(&bytes) => Self::from_opened(OpenedFile { path: path.to_owned(), bytes }),
            _ => Err(not_meant(path)),
        }
    }

    /// A file of a copy of `bytes`; `name` stands for the path in messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        let path = Path::new(name);
        if !(FORMAT.is)(bytes) {
            return Err(not_meant(path));
        }
        Self::from_opened(OpenedFile { path: path.into(), bytes: mapped::copy(path, bytes)? })
    }

    fn from_opened(source: OpenedFile) -> Result<Self> {
        let OpenedFile { path, bytes } = source;
        let header = Header::parse(&bytes, bytes.len())
            .map_err(|Fault { expected, found, hint }| Error::invalid(path.display(), expected, found, hint))?;
        let by_name = header.tensors.iter().enumerate().map(|(index, tensor)| (tensor.name.clone(), index)).collect();
        let text = |(key, range): &(String, Range<usize>)| match value_at(&bytes, range.clone()) {
            Value::String(text) if text.len() > MAX_TEXT => (key.clone(), format!("[string of {} bytes]", text.len())),
            value => (key.clone(), value.to_string()),
        };
        let metadata = header.entries.iter().map(text).collect();
        Ok(Self { path, bytes, header: Arc::new(header), by_name, metadata })
    }

    /// The version of the format.
    pub fn version(&self) -> u32 {
        self.header.version
    }

    /// Of the data of each tensor, in bytes.
    pub fn alignment(&self) -> usize {
        self.header.alignment
    }

    /// Where the data of tensors begin.
    pub fn data_start(&self) -> usize {
        self.header.data_start
    }

    /// The metadata in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        self.header.entries.iter().map(|(key, range)| (key.as_str(), value_at(&self.bytes, range.clone())))
    }

    /// The tensors in the order of the file.
    pub fn tensors(&self) -> &[Tensor] {
        &self.header.tensors
    }

    /// The bytes of a tensor of this file.
    pub fn bytes(&self, tensor: &Tensor) -> &[u8] {
        &self.bytes[tensor.range.clone()]
    }

    /// A value of the metadata.
    pub fn value(&self, key: &str) -> Option<Value<'_>> {
        let (_, range) = self.header.entries.iter().find(|(known, _)| known == key)?;
        Some(value_at(&self.bytes, range.clone()))
    }

    /// An array that has to be there.
    ///
    /// # Errors
    /// Bad input where it is missing or something else.
    pub fn array(&self, key: &str) -> Result<Array<'_>> {
        let found = match self.value(key) {
            Some(Value::Array(array)) => return Ok(array),
            Some(other) => format!("one of type {}", other.kind()),
            None => "none".into(),
        };
        Err(Error::invalid(self.path.display(), format!("an array `{key}` in the metadata"), found, OTHER_MODEL))
    }

    /// The name of the architecture, with which the keys of its sizes begin.
    ///
    /// # Errors
    /// Bad input where there is none.
    pub fn architecture(&self) -> Result<&str> {
        self.meta("general.architecture")
    }

    /// A value of the architecture: `context_length` is that of `llama.context_length`.
    pub fn of_architecture(&self, key: &str) -> Option<Value<'_>> {
        self.value(&format!("{}.{key}", self.architecture().ok()?))
    }
}

fn not_meant(path: &Path) -> Error {
    Error::invalid(path.display(), FORMAT.name, "something else", HINT)
}

impl TensorFile for Gguf {
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
        Box::new(self.by_name.keys().map(String::as_str))
    }

    fn find(&self, name: &str) -> Option<View<'_>> {
        let tensor = &self.header.tensors[*self.by_name.get(name)?];
        Some(View::mapped(tensor.dtype, &tensor.shape, &self.bytes, tensor.range.clone()))
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}
