//! The text that a command reads aloud: an argument, a file, or what comes through a pipe.

use std::io::{IsTerminal, stdin};
use std::path::Path;

use crate::{Error, Result, input};
use primal_speech::markup;

/// The bytes of `text`, which `flag` names, of the file at `file` (or standard input, if that is `-`), or of standard input where neither is given and someone writes
/// to it; without a byte order mark.
///
/// # Errors
/// None of them, or both; a file that cannot be read or is no text.
pub(super) fn bytes_of(flag: &str, text: Option<&str>, file: Option<&Path>) -> Result<Vec<u8>> {
    const HINT: &str = "give a text file with --file; - is standard input";
    let (name, mut bytes) = match (text, file) {
        (Some(_), Some(_)) => return Err(Error::bad_input(flag, "no --file beside it", "both", "leave one of them out")),
        (Some(text), None) => return Ok(text.as_bytes().into()),
        (None, Some(path)) if path != Path::new(input::STANDARD) => (path.display().to_string(), input::read(path, input::TEXT, HINT)?),
        (None, Some(_)) => ("standard input".into(), input::read_standard(input::TEXT, HINT)?),
        (None, None) => {
            let bytes = if stdin().is_terminal() { Vec::new() } else { input::read_standard(input::TEXT, HINT)? };
            if bytes.is_empty() {
                let expected = format!("{flag} or --file, or text through a pipe");
                return Err(Error::bad_input("the text", expected, "none of them", "try \"Hello, world.\""));
            }
            ("standard input".into(), bytes)
        }
    };
    // Valid as UTF-8, but no text has it, and UTF-16 is full of it.
    if bytes.contains(&0) || bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(input::not_utf8(name, &bytes));
    }
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        bytes.drain(..3);
    }
    if bytes.trim_ascii().is_empty() {
        return Err(Error::bad_input(name, "words to say", "an empty file", "write one sentence a line"));
    }
    Ok(bytes)
}

/// A text of such bytes, without its markup if that is wanted; `name` is for messages.
///
/// # Errors
/// Bytes that are no UTF-8.
pub(super) fn decode(bytes: &[u8], name: impl ToString, without_markup: bool) -> Result<String> {
    let text = str::from_utf8(bytes).map_err(|_| input::not_utf8(name, bytes))?;
    Ok(if without_markup { markup::plain(text) } else { text.into() })
}
