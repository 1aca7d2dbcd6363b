//! Folders that are made anew, and files that are copied into them.

use std::fs;
use std::path::Path;

/// Makes a folder that holds nothing of an earlier run.
pub fn empty(folder: &Path) -> Result<(), String> {
    let emptied = if folder.exists() { fs::remove_dir_all(folder) } else { Ok(()) };
    emptied.and_then(|()| fs::create_dir_all(folder)).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Copies a file into a folder, which is made where it is missing.
pub fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let folder = to.parent().expect("a folder");
    let done = fs::create_dir_all(folder).and_then(|()| fs::copy(from, to));
    done.map(|_| ()).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}
