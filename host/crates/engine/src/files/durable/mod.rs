//! Every output of the program: files that are there whole and durably or not at all, and what is no file, which is written through.

mod append;
mod place;
mod transient;
mod unfinished;

use std::fs::File;
use std::io::{self, ErrorKind, Seek, Write};
use std::path::Path;

pub use append::AppendFile;
pub use place::Place;
pub use transient::{Transient, lock, remove_all, sweep, sweep_all, temporary};
pub use unfinished::Unfinished;

use crate::{Error, Result};

/// Replaces what `path` names by these bytes, or leaves everything as it was.
///
/// # Errors
/// I/O errors with a hint.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    atomically(path, bytes.len(), |file| file.write_all(bytes).map_err(|error| write_error(path, bytes.len(), error)))
}

/// Replaces what `path` names by what `write` writes. A link is followed. A file is written under another name in the same folder, which is synced,
/// renamed, and its folder synced; or everything is as it was. What is no file (a pipe, a terminal, `/dev/null`) gets the bytes once they are
/// all there, and is never replaced. `len` is told to the user when there is no room.
///
/// # Errors
/// Those of `write`; I/O errors with a hint.
pub fn atomically<T, E: From<Error>>(path: &Path, len: usize, write: impl FnOnce(&mut File) -> Result<T, E>) -> Result<T, E> {
    let fail = |error| write_error(path, len, error);
    if let place @ (Place::Pipe(_) | Place::Descriptor(_)) = Place::of(path).map_err(fail)? {
        let mut whole = tempfile::tempfile().map_err(fail)?;
        let answer = write(&mut whole)?;
        whole.rewind().and_then(|()| io::copy(&mut whole, &mut place.open()?)).map_err(fail)?;
        return Ok(answer);
    }
    let mut unfinished = Unfinished::of(path, len)?;
    let answer = write(unfinished.file())?;
    unfinished.finish()?;
    Ok(answer)
}

/// The folder of a path.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the names in a folder durable.
///
/// # Errors
/// I/O errors.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // Other systems do not open folders as files.
    if cfg!(not(unix)) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        // Some network file systems cannot; they have no notion of an unsynced name.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}

/// Whether a write failed for want of room.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// An I/O error while writing `path`, of which `len` bytes are at stake, with what to do about it. A reader that closed its pipe is none: then the
/// program has nothing more to do.
pub fn write_error(path: &Path, len: usize, error: io::Error) -> Error {
    let room = match len {
        0 => "make room".into(),
        len => format!("free at least {} KiB", len.div_ceil(1024)),
    };
    let hint = match error.kind() {
        ErrorKind::BrokenPipe => return Error::Closed,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("{room} on that disk, or write elsewhere; no half-written file is left")
        }
        ErrorKind::FileTooLarge => {
            format!("allow larger files than {} KiB (`ulimit -f`); no half-written file is left", len.div_ceil(1024))
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "its folder does not exist or is no folder: create it, or write elsewhere".into()
        }
        ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty => "a folder is in the way: remove it, or write elsewhere".into(),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "make the folder writable, or write elsewhere".into(),
        ErrorKind::InvalidFilename | ErrorKind::InvalidInput => {
            "give a file, a pipe or a device of characters, by a shorter or plainer name".into()
        }
        _ => "check the disk or what the output is connected to; no half-written file is left".into(),
    };
    Error::io("writing", path, error, hint)
}

#[cfg(test)]
mod tests;
