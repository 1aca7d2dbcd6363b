//! Lines for the user, without the panics of `println!` and `eprintln!`.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write, stderr, stdout};
use std::path::Path;

use crate::{Error, Result};

/// Prints `text` and the end of its line to standard output.
///
/// # Errors
/// Those of [`failed`].
pub(super) fn print(text: impl Display) -> Result<()> {
    write_all(format!("{text}\n"))
}

/// Prints `text` to standard output, and lets nobody wait for it.
///
/// # Errors
/// Those of [`failed`].
pub(super) fn write_all(text: impl AsRef<[u8]>) -> Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_ref()).and_then(|()| out.flush()).map_err(failed)
}

/// What a failure of standard output means: a full disk is an error; a reader that closed the pipe has seen enough, and the program ends.
pub(super) fn failed(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::BrokenPipe => Error::Ended(0),
        _ => Error::io("writing", Path::new("standard output"), error, "see where the output is redirected to"),
    }
}

/// Prints `text` and the end of its line to standard error; it is lost where that cannot be written.
pub fn warn(text: impl Display) {
    let _ = writeln!(stderr(), "{text}");
}
