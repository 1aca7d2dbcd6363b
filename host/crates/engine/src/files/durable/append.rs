//! A file that grows by whole records.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::write_error;
use crate::Result;

/// Appends whole records; one that could not be written is taken back.
#[derive(Debug)]
pub struct AppendFile {
    path: PathBuf,
    file: File,
    length: u64,
}

impl AppendFile {
    /// Opens `path` at its end, making it if it does not exist.
    ///
    /// # Errors
    /// I/O errors with a hint.
    pub fn open(path: PathBuf) -> Result<Self> {
        let opened = OpenOptions::new().append(true).create(true).open(&path);
        let (file, length) = opened
            .and_then(|file| {
                let length = file.metadata()?.len();
                Ok((file, length))
            })
            .map_err(|e| write_error(&path, 0, e))?;
        Ok(Self { path, file, length })
    }

    /// Hands `record` to the operating system. After an error (a full disk) the file ends where it did
    /// before, so that a later record does not continue a torn one.
    ///
    /// # Errors
    /// I/O errors with a hint.
    pub fn append(&mut self, record: &[u8]) -> Result<()> {
        if let Err(e) = self.file.write_all(record) {
            let _ = self.file.set_len(self.length);
            return Err(write_error(&self.path, record.len(), e));
        }
        self.length += record.len() as u64;
        Ok(())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
