//! Files of a run that are written whole and durably, or not at all.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use crate::{Error, Result};

/// Start and end of the names of unfinished files, by which those of a killed process are known.
pub const TEMPORARY: (&str, &str) = (".primal-", ".tmp");

/// Replaces `path` by a file of these bytes, or leaves everything as it was.
///
/// # Errors
/// I/O errors with a hint.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    atomically(path, bytes.len(), |file| file.write_all(bytes).map_err(|error| write_error(path, bytes.len(), error)))
}

/// Replaces `path` by what `write` writes into a temporary file of the same folder, which is synced, renamed, and its folder synced; or leaves
/// everything as it was. `len` is told to the user when there is no room.
///
/// # Errors
/// Those of `write`; I/O errors with a hint.
pub fn atomically(path: &Path, len: usize, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let fail = |error| write_error(path, len, error);
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY.0).suffix(TEMPORARY.1);
    #[cfg(unix)]
    {
        // As any other new file, subject to the umask; temporary files are private otherwise.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(fail)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all().map_err(fail)?;
    file.persist(path).map_err(|error| fail(error.error))?;
    sync_folder(folder).map_err(fail)
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

/// An I/O error while writing `path`, of which `len` bytes are at stake, with what to do about it.
pub fn write_error(path: &Path, len: usize, error: io::Error) -> Error {
    const SAFE: &str = "what was saved before is untouched, `--resume RUN` continues from it";
    let hint = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("free at least {} KiB on that disk, or give another folder with --out; {SAFE}", len.div_ceil(1024))
        }
        ErrorKind::FileTooLarge => format!("allow larger files than {} KiB (`ulimit -f`); {SAFE}", len.div_ceil(1024)),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "its folder does not exist or is no folder: create it, or give another with --out".into()
        }
        ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty => {
            "a folder is in the way: remove it, or give another folder with --out".into()
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            format!("make the folder writable, or give another with --out; {SAFE}")
        }
        _ => format!("check the disk; {SAFE}"),
    };
    Error::io("writing", path, error, hint)
}
