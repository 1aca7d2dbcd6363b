//! What must not outlive the process: names of unfinished files, and folders of a run that does not begin. Whatever is left by a killed process is swept
//! by the next one that writes beside it.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Start and end of the names of unfinished files.
const TEMPORARY: (&str, &str) = (".primal-", ".tmp");

static ALIVE: Mutex<Vec<(PathBuf, Kind)>> = Mutex::new(Vec::new());
static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// What is to be removed; nobody makes or renames such a file meanwhile.
fn alive() -> MutexGuard<'static, Vec<(PathBuf, Kind)>> {
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A file, or a folder if it is empty.
    One,
    /// A folder with all that is in it.
    Tree,
}

/// What is removed when this is dropped, or by [`remove_all`].
#[derive(Debug)]
pub struct Transient(PathBuf, Kind);

impl Transient {
    /// Removes a file, or a folder if it is empty then, in the end, unless it is kept.
    pub fn new(path: PathBuf) -> Self {
        alive().push((path.clone(), Kind::One));
        Self(path, Kind::One)
    }

    /// [`Self::new`] of what `make` makes, with no signal in between. `make` names no other.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn made<E>(path: PathBuf, make: impl FnOnce(&Path) -> Result<(), E>) -> Result<Self, E> {
        let mut alive = alive();
        make(&path)?;
        alive.push((path.clone(), Kind::One));
        Ok(Self(path, Kind::One))
    }

    /// Removes a folder that is this process' once `make` has done something in it, with all that is in it, in the end, unless it is kept. No signal comes
    /// in between; `make` names no other.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn tree_with<R, E>(folder: PathBuf, make: impl FnOnce() -> Result<R, E>) -> Result<(Self, R), E> {
        let mut alive = alive();
        let made = make()?;
        alive.push((folder.clone(), Kind::Tree));
        Ok((Self(folder, Kind::Tree), made))
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Gives the file its final name, or never comes back: no name appears any more once [`remove_all`] has begun.
    ///
    /// # Errors
    /// Errors of the rename, after which the file is removed.
    pub fn rename(self, to: &Path) -> io::Result<()> {
        let mut alive = alive();
        let renamed = fs::rename(&self.0, to);
        if renamed.is_ok() {
            alive.retain(|(path, _)| *path != self.0);
        }
        drop(alive);
        if renamed.is_ok() {
            std::mem::forget(self);
        }
        renamed
    }

    /// Leaves the file where it is.
    pub fn keep(self) {
        self.forget();
        std::mem::forget(self);
    }

    fn forget(&self) {
        alive().retain(|(path, _)| *path != self.0);
    }
}

impl Drop for Transient {
    fn drop(&mut self) {
        self.forget();
        remove(&self.0, self.1);
    }
}

fn remove(path: &Path, kind: Kind) {
    // What cannot be removed stays.
    let _ = match kind {
        Kind::One => fs::remove_file(path).or_else(|_| fs::remove_dir(path)),
        Kind::Tree => fs::remove_dir_all(path),
    };
}

/// Removes all of them: the process is about to end by a signal. The latest go first, as files lie in folders. As long as what it returns is
/// held, nobody makes another.
pub fn remove_all() -> impl Sized {
    let mut alive = alive();
    alive.drain(..).rev().for_each(|(path, kind)| remove(&path, kind));
    alive
}

/// A new file of this process in the folder, by a name of its own. It is locked as long as it is open: so others know that its writer lives.
///
/// # Errors
/// I/O errors.
pub fn temporary(folder: &Path) -> io::Result<(File, Transient)> {
    sweep(folder);
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY.0).suffix(TEMPORARY.1);
    loop {
        // There and known at once, so that no signal can come between.
        let made = builder.make_in(folder, |path| {
            let mut alive = alive();
            let file = File::options().read(true).write(true).create_new(true).open(path)?;
            alive.push((path.to_owned(), Kind::One));
            Ok((file, Transient(path.to_owned(), Kind::One)))
        })?;
        let (file, name) = made.keep().map_err(|error| error.error)?.0;
        // Another process may have swept it before it was locked.
        if lock(&file, name.path())? {
            return Ok((file, name));
        }
    }
}

/// Locks an open file for this process until it is closed; whether it has the lock, and the file is still the one of that name. Where the file system
/// has no locks, everybody has them.
///
/// # Errors
/// I/O errors.
pub fn lock(file: &File, path: &Path) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => is_named(file, path),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(unix)]
fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let key = |found: fs::Metadata| (found.dev(), found.ino());
    let open = key(file.metadata()?);
    Ok(fs::symlink_metadata(path).is_ok_and(|found| key(found) == open))
}

#[cfg(not(unix))]
fn is_named(_file: &File, path: &Path) -> io::Result<bool> {
    Ok(path.exists())
}

/// Removes unfinished files of dead processes from a folder, once for each folder.
pub fn sweep(folder: &Path) {
    if SWEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned()) {
        sweep_those(folder, |name| name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1));
    }
}

/// [`sweep`] for a folder that is this process' own: also files that earlier versions left there.
pub fn sweep_all(folder: &Path) {
    sweep(folder);
    let is_old =
        |name: &str| name.strip_prefix(".tmp").is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|b| b.is_ascii_alphanumeric()));
    sweep_those(folder, is_old);
}

/// What cannot be swept stays.
fn sweep_those(folder: &Path, is_unfinished: impl Fn(&str) -> bool) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(&is_unfinished)) {
        let path = entry.path();
        // The lock is held until the file is gone: who made it and has not locked it yet then sees that, and makes another.
        if entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
            && is_named(&file, &path).unwrap_or(false)
        {
            let _ = fs::remove_file(&path);
        }
    }
}
