//! Lines for the user, without the panics of `println!` and `eprintln!`.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

use crate::{Error, Result, visible};

/// Prints `text` and the end of its line to standard output, without what could drive a terminal.
///
/// # Errors
/// Errors of [`failed`].
pub(crate) fn print(text: impl Display) -> Result<()> {
    write_all(format!("{}\n", visible::text(&text.to_string())))
}

/// Prints an object as one line of JSON; as [`print`], but nothing of its strings is lost.
///
/// # Errors
/// Errors of [`failed`].
pub(crate) fn print_json(value: &serde_json::Value) -> Result<()> {
    write_all(format!("{}\n", visible::json(value)))
}

/// Prints `text` to standard output as it is, and lets nobody wait for it.
///
/// # Errors
/// Errors of [`failed`].
pub(crate) fn write_all(text: impl AsRef<[u8]>) -> Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_ref()).and_then(|()| out.flush()).map_err(failed)
}

/// What a failure of standard output means: a full disk is an error; a reader that closed the pipe has seen enough, and the program ends.
pub(crate) fn failed(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::BrokenPipe => Error::Ended(0),
        _ => Error::io("writing", Path::new("standard output"), error, "see where the output is redirected to"),
    }
}

/// Prints `text` and the end of its line to standard error, without what could drive a terminal; it is lost where that cannot be written.
pub fn warn(text: impl Display) {
    let _ = writeln!(stderr(), "{}", visible::text(&text.to_string()));
}

/// Says on standard error what went wrong, unless all is said, and gives the exit code of the process.
pub fn report(error: &Error) -> ExitCode {
    if !matches!(error, Error::Ended(_)) {
        warn(format!("primal-host: {error}"));
    }
    ExitCode::from(error.exit_code())
}
