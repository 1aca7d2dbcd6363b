//! Checks of the paths that a command writes, before it does any work.

use std::fs;
use std::path::Path;

use crate::{Error, Result};
use primal_engine::files::durable::{Place, folder_of};

/// A flag and the file that it names.
pub(super) type Named<'a> = (&'a str, &'a Path);

/// Refuses a name that says that the file is of another kind than `extension`. Names without an extension, or with digits for one, say nothing.
///
/// # Errors
/// Bad input that names the extension.
pub(super) fn require_extension((flag, path): Named, extension: &str) -> Result<()> {
    let found = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if !found.contains(char::is_alphabetic) || found.eq_ignore_ascii_case(extension) || is_special(path) {
        return Ok(());
    }
    let hint = format!("name it {}, and convert it afterwards if need be", path.with_extension(extension).display());
    Err(Error::bad_input(flag, format!("the name of a .{extension} file, which is what is written"), path.display(), hint))
}

/// Refuses an output that is one of the other files.
///
/// # Errors
/// Bad input that names both flags.
pub(super) fn require_distinct((flag, path): Named, others: &[Named]) -> Result<()> {
    let same = others.iter().find(|(_, other)| !is_special(path) && is_same(path, other));
    same.map_or(Ok(()), |(other, _)| {
        Err(Error::bad_input(
            flag,
            format!("another file than that of {other}"),
            path.display(),
            "give each its own: one would replace the other",
        ))
    })
}

/// Checks that a file can be made under a name, by making one beside it.
///
/// # Errors
/// Bad input where it cannot.
pub(super) fn require_writable((flag, path): Named) -> Result<()> {
    let checked = Place::of(path).and_then(|place| match place {
        Place::File(target) => tempfile::tempfile_in(folder_of(&target)).map(drop),
        // What is no file is opened only once there is something to write.
        _ => Ok(()),
    });
    checked.map_err(|error| {
        let subject = format!("{flag} {}", path.display());
        Error::bad_input(subject, "a file that can be written", error, "give the path of a file in a folder that exists and may be written")
    })
}

/// Whether it is there and no file.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file())
}

fn is_same(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(one), Ok(other)) = (fs::metadata(one), fs::metadata(other)) {
        use std::os::unix::fs::MetadataExt;
        // Two names of one file, too.
        return (one.dev(), one.ino()) == (other.dev(), other.ino());
    }
    let resolved = |path: &Path| {
        let Ok(Place::File(target)) = Place::of(path) else { return None };
        let folder = folder_of(&target).canonicalize().ok()?;
        Some(folder.join(target.file_name()?))
    };
    resolved(one).is_some_and(|path| Some(path) == resolved(other))
}
