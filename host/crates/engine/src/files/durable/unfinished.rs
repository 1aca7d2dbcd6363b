//! A file that is not yet what it shall be.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{Place, Transient, folder_of, sync_folder, temporary, write_error};
use crate::Result;

/// A file under another name, which becomes what a path names, or is removed: what is written can be read and judged before anybody else sees it.
#[derive(Debug)]
pub struct Unfinished {
    /// Open for reading and writing; locked, so that nobody sweeps it.
    file: File,
    name: Transient,
    place: Place,
    path: PathBuf,
    /// Bytes that are at stake, for messages.
    len: usize,
}

impl Unfinished {
    /// An empty file for what `path` names: in the same folder, with the permissions of what is there, if that is a file. `len` is told to the user when
    /// there is no room.
    ///
    /// # Errors
    /// I/O errors with a hint.
    pub fn of(path: &Path, len: usize) -> Result<Self> {
        Self::make(path, len).map_err(|error| write_error(path, len, error))
    }

    fn make(path: &Path, len: usize) -> io::Result<Self> {
        let place = Place::of(path)?;
        let ((file, name), permissions) = match &place {
            Place::File(target) => {
                // A folder in the way is found before the work.
                let permissions = match fs::metadata(target) {
                    Ok(found) if found.is_dir() => return Err(ErrorKind::IsADirectory.into()),
                    found => found.ok().map(|found| found.permissions()),
                };
                (temporary(folder_of(target))?, permissions)
            }
            _ => (temporary(&std::env::temp_dir())?, None),
        };
        permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions))?;
        Ok(Self { file, name, place, path: path.into(), len })
    }

    /// Its name until then.
    pub fn path(&self) -> &Path {
        self.name.path()
    }

    /// What it shall be, for messages.
    pub fn destination(&self) -> &Path {
        &self.path
    }

    /// The file.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Makes it what the path names: renamed and synced, or written through to what is no file.
    ///
    /// # Errors
    /// I/O errors with a hint; then everything is as it was.
    pub fn finish(self) -> Result<()> {
        let Self { mut file, name, place, path, len } = self;
        let finish = || match &place {
            Place::File(target) => {
                file.sync_all()?;
                name.rename(target)?;
                sync_folder(folder_of(target))
            }
            stream => {
                io::Seek::rewind(&mut file)?;
                io::copy(&mut file, &mut stream.open()?).map(|_| ())
            }
        };
        finish().map_err(|error| write_error(&path, len, error))
    }
}
