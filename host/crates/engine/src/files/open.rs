//! The formats, and which of them a file has.

use std::path::Path;

use super::kinds::kind_of;
use super::tensor_file::{Format, OpenedFile, TensorFile};
use super::{checkpoint, mapped, safetensors, torch};
use crate::{Error, Result};

/// Every format; the first that takes a file for its own reads it. The length that a safetensors file begins with may look like a pickle or an archive,
/// neither of which has a brace behind it.
const FORMATS: [&Format; 3] = [&checkpoint::FORMAT, &safetensors::FORMAT, &torch::FORMAT];

const HINT: &str = "give a file of tensors, as its program wrote it; if this is one it is damaged or incomplete: get it again";

/// Maps a file of tensors; its content tells the format, not its name.
///
/// # Errors
/// I/O errors; bad input for what is no undamaged file of a known format.
pub fn open(path: impl AsRef<Path>) -> Result<Box<dyn TensorFile>> {
    let path = path.as_ref();
    match mapped::open(path, &expected(), HINT)? {
        Some(map) => of_opened(OpenedFile { path: path.into(), map, of_file: true }),
        None => Err(unknown(path, "an empty file")),
    }
}

/// A file of tensors of a copy of `bytes`; `name` stands for the path in messages.
///
/// # Errors
/// As [`open`]; bad input for a format that is read from a file only.
pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Box<dyn TensorFile>> {
    let path = Path::new(name);
    if bytes.is_empty() {
        return Err(unknown(path, "nothing"));
    }
    of_opened(OpenedFile { path: path.into(), map: mapped::copy(path, bytes)?, of_file: false })
}

fn of_opened(source: OpenedFile) -> Result<Box<dyn TensorFile>> {
    match FORMATS.iter().find(|format| (format.is)(&source.map)) {
        Some(format) => (format.open)(source),
        None => Err(unknown(&source.path, kind_of(&source.map).unwrap_or("something else"))),
    }
}

fn unknown(path: &Path, found: &str) -> Error {
    Error::invalid(path.display(), expected(), found, HINT)
}

fn expected() -> String {
    FORMATS.map(|format| format.name).join(" or ")
}
