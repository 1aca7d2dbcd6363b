//! Files that are kept beside the weights of a model: tensors of bytes, by the names of the files.

use super::source::Source;
use crate::{Error, Result};

/// What the names of such tensors begin with.
pub const PREFIX: &str = "files/";
/// Bytes of a file, at most. Vocabularies of a quarter of a million tokens have about 35 MB.
pub const MOST: usize = 1 << 26;

/// The name of the tensor of a file.
pub fn name_of(file: &str) -> String {
    format!("{PREFIX}{file}")
}

/// Requires that all files that came with a model can be kept.
///
/// # Errors
/// The first that is too long.
pub(super) fn require_short(source: &Source) -> Result<()> {
    let long = source.attached.iter().find(|(_, bytes)| bytes.len() > MOST);
    long.map_or(Ok(()), |(name, bytes)| {
        let what = if source.gguf.is_some() { "metadata" } else { name };
        let hint = "get another file of the model: tokenizers and templates are shorter";
        Err(Error::invalid(source.path.display(), format!("{what} of at most {MOST} bytes"), bytes.len(), hint))
    })
}
