//! Lines for the user, without the panics of `println!` and `eprintln!`.

use std::fmt::Display;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::Path;

use crate::{Error, Result};

/// Prints `text` and the end of its line to standard output. A reader that closes the pipe early is no failure.
///
/// # Errors
/// Output to a full disk, for example.
pub(super) fn print(text: impl Display) -> Result<()> {
    let mut out = stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::io("writing", Path::new("standard output"), error, "see where the output is redirected to"))
        }
        _ => Ok(()),
    }
}

/// Prints `text` and the end of its line to standard error; it is lost where that cannot be written.
pub fn warn(text: impl Display) {
    let _ = writeln!(stderr(), "{text}");
}
