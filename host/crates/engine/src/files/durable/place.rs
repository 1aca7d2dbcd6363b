//! What a path names, for output.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::folder_of;

/// Links that are followed, at most.
const MAX_LINKS: usize = 40;

/// What a path names, once its links are followed.
#[derive(Debug)]
pub enum Place {
    /// A file, which is replaced, or nothing yet, where one is made.
    File(PathBuf),
    /// A named pipe or a device, which is written through.
    Pipe(PathBuf),
    /// What a descriptor of this process is open for: `/dev/stdout`, `/dev/fd/3`.
    Descriptor(PathBuf),
}

impl Place {
    /// Follows `path`.
    ///
    /// # Errors
    /// A path that cannot be followed; a folder, a socket or a disk there; no folder to make a file in.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut target = path.to_path_buf();
        for _ in 0..MAX_LINKS {
            if is_descriptor(&target) {
                fs::metadata(&target)?;
                return Ok(Self::Descriptor(target));
            }
            match fs::read_link(&target) {
                Ok(to) => target = folder_of(&target).join(to),
                Err(_) => return Self::of_followed(target),
            }
        }
        Err(io::Error::other("too many links"))
    }

    fn of_followed(path: PathBuf) -> io::Result<Self> {
        // `folder/` names no file.
        let names_a_file = path.file_name().is_some() && !path.as_os_str().as_encoded_bytes().ends_with(b"/");
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
            Ok(found) if found.is_file() => Ok(Self::File(path)),
            Ok(found) if is_writable_through(&found) => Ok(Self::Pipe(path)),
            Ok(_) => Err(io::Error::new(ErrorKind::InvalidInput, "it is a disk or a socket")),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Err(_) => match fs::metadata(folder_of(&path)) {
                Ok(found) if !found.is_dir() => Err(ErrorKind::NotADirectory.into()),
                Ok(_) if !names_a_file => Err(ErrorKind::InvalidFilename.into()),
                Ok(_) => Ok(Self::File(path)),
                Err(error) => Err(error),
            },
        }
    }

    /// Opens what is written through.
    ///
    /// # Errors
    /// It cannot be opened for writing; or it is a file, which is for [`super::atomically`].
    pub fn open(&self) -> io::Result<File> {
        match self {
            Self::File(_) => Err(ErrorKind::InvalidInput.into()),
            Self::Pipe(path) => File::options().write(true).open(path),
            #[cfg(unix)]
            Self::Descriptor(path) if path.ends_with("1") => {
                use std::os::fd::AsFd;
                io::stdout().as_fd().try_clone_to_owned().map(File::from)
            }
            // Opened anew it would start at its beginning.
            Self::Descriptor(path) => File::options().append(true).open(path),
        }
    }

    /// Whether it is the standard output of this process.
    pub fn is_standard_output(&self) -> bool {
        matches!(self, Self::Descriptor(path) if path.ends_with("1"))
    }
}

/// `/proc/self/fd/1` and the like, which look like links to what they are open for.
fn is_descriptor(path: &Path) -> bool {
    let number = path.file_name().is_some_and(|name| !name.is_empty() && name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
    let own = format!("/proc/{}", std::process::id());
    let folders = [Path::new("/proc/self"), Path::new("/proc/thread-self"), Path::new(&own)];
    number && (path.parent() == Some(Path::new("/dev/fd")) || folders.iter().any(|folder| path.parent() == Some(&folder.join("fd"))))
}

#[cfg(unix)]
fn is_writable_through(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    found.file_type().is_char_device() || found.file_type().is_fifo()
}

#[cfg(not(unix))]
fn is_writable_through(_found: &fs::Metadata) -> bool {
    true
}
