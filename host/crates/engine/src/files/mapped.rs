//! Files that are mapped into memory, and what happens when another program changes them meanwhile.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::SystemTime;

use memmap2::{Mmap, MmapMut};

use crate::{Error, Result};

/// What to do about a file that changed under the program.
const HINT: &str = "leave it alone while it is read: put back what it was, and start again (a run goes on from its last checkpoint)";

/// A file that was mapped; they form a list that only grows, so that a signal handler can walk it.
struct Mapping {
    start: usize,
    len: usize,
    path: PathBuf,
    /// Which file it is, and when it was written.
    stamp: Option<Stamp>,
    /// What to say where a page of it is gone.
    complaint: String,
    next: *const Mapping,
}

static MAPPINGS: AtomicPtr<Mapping> = AtomicPtr::new(ptr::null_mut());

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    /// Device and number; and when it was made, as numbers are given again.
    file: (u64, u64, Option<SystemTime>),
    len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(found: &std::fs::Metadata) -> Self {
        #[cfg(unix)]
        let file = {
            use std::os::unix::fs::MetadataExt;
            (found.dev(), found.ino(), found.created().ok())
        };
        #[cfg(not(unix))]
        let file = (0, 0, None);
        Self { file, len: found.len(), modified: found.modified().ok() }
    }
}

fn mappings() -> impl Iterator<Item = &'static Mapping> {
    let mut next = MAPPINGS.load(Ordering::Acquire).cast_const();
    std::iter::from_fn(move || {
        // SAFETY: entries come from `Box::leak` and are never changed or freed.
        let mapping = unsafe { next.as_ref() }?;
        next = mapping.next;
        Some(mapping)
    })
}

/// Maps an open file to be read. `path` is for messages, and for [`require_unchanged`].
///
/// # Errors
/// Errors of the system.
pub fn map(file: &File, path: &Path) -> io::Result<Mmap> {
    let stamp = file.metadata().ok().map(|found| Stamp::of(&found));
    // SAFETY: the mapping is only read, as bytes, and this program never changes such files in place: it renames a new one over the name, and the mapping
    // keeps the old one. Another program that shortens the file ends this one by `SIGBUS`, with the message of `complain_of_bus_errors`.
    let map = unsafe { Mmap::map(file) }?;
    let complaint = format!(
        "{}: expected the {} bytes that it had when it was opened, found it cut short while it was read\n  hint: {HINT}\n",
        path.display(),
        map.len()
    );
    let next = MAPPINGS.load(Ordering::Acquire);
    let entry = Mapping { start: map.as_ptr() as usize, len: map.len(), path: path.to_owned(), stamp, complaint, next };
    let entry = Box::leak(Box::new(entry));
    while let Err(now) = MAPPINGS.compare_exchange(entry.next.cast_mut(), entry, Ordering::AcqRel, Ordering::Acquire) {
        entry.next = now;
    }
    Ok(map)
}

/// The bytes of a whole file, mapped, or a copy of what is none; clones share them.
#[derive(Debug, Clone)]
pub struct FileBytes {
    map: Arc<Mmap>,
    /// From which pages can be read again.
    of_file: bool,
}

impl FileBytes {
    /// For back ends that keep a part of them.
    pub fn map(&self) -> &Arc<Mmap> {
        &self.map
    }

    /// Whether they are those of a file.
    pub fn of_file(&self) -> bool {
        self.of_file
    }

    /// Gives the memory under a range back once it is used: it stays in the system's cache of the file, from which a later use maps it again. So reading
    /// a file as large as the memory that training plans does not take that memory twice.
    pub fn release(&self, range: &Range<usize>) {
        #[cfg(unix)]
        if self.of_file && !range.is_empty() {
            // SAFETY: the mapping is read-only and of a file, so dropped pages come back with the same content; anonymous ones would come back empty.
            // It is advice: where the system does not take it, only memory is lost.
            let _ = unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
        }
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

/// Maps a file to be read; `None` for an empty one. `what` was expected and `hint` says what to do, for messages.
///
/// # Errors
/// I/O errors; bad input for what is no file.
pub fn open(path: &Path, what: &str, hint: &str) -> Result<Option<FileBytes>> {
    let fail = |error| Error::io("reading", path, error, hint);
    let metadata = std::fs::metadata(path).map_err(fail)?;
    // Before it is opened: a pipe would wait for a writer.
    if !metadata.is_file() {
        let found = if metadata.is_dir() { "a folder" } else { "something that is no file" };
        return Err(Error::invalid(path.display(), what, found, hint));
    }
    if metadata.len() == 0 {
        return Ok(None);
    }
    let file = File::open(path).map_err(fail)?;
    let map = map(&file, path).map_err(fail)?;
    Ok(Some(FileBytes { map: Arc::new(map), of_file: true }))
}

/// A copy of `bytes`, at least one, aligned as a mapped file is; `name` is for messages.
///
/// # Errors
/// Not enough memory.
pub fn copy(name: &Path, bytes: &[u8]) -> Result<FileBytes> {
    let fail = |error| Error::io("reading", name, error, "not enough memory for a copy: open it as a file");
    let mut map = MmapMut::map_anon(bytes.len()).map_err(fail)?;
    map.copy_from_slice(bytes);
    let map = map.make_read_only().map_err(fail)?;
    Ok(FileBytes { map: Arc::new(map), of_file: false })
}

/// Checks size and time stamp of every file that was mapped and is still the one of its name; a file that was replaced or removed is kept by its mapping.
///
/// # Errors
/// Bad input that names the first that another program changed in place.
pub fn require_unchanged() -> Result<()> {
    for mapping in mappings() {
        let (Some(then), Ok(found)) = (mapping.stamp, std::fs::metadata(&mapping.path)) else { continue };
        let now = Stamp::of(&found);
        if now.file == then.file && now != then {
            let found = if now.len == then.len { "other content".into() } else { format!("{} bytes", now.len) };
            let found =
                format!("{found}, written {} s ago", now.modified.and_then(|time| time.elapsed().ok()).unwrap_or_default().as_secs());
            return Err(Error::invalid(
                mapping.path.display(),
                format!("the {} bytes that it had when it was opened", then.len),
                found,
                HINT,
            ));
        }
    }
    Ok(())
}

/// Turns the death by `SIGBUS` that a shortened file brings into a message, which begins with `prefix`, and exit code 2.
#[cfg(unix)]
pub fn complain_of_bus_errors(prefix: &'static str) {
    use std::sync::OnceLock;

    static PREFIX: OnceLock<&str> = OnceLock::new();

    /// What handles it where no mapping is concerned.
    static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

    extern "C" fn complain(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
        // SAFETY: the system passes a valid address. Only `write`, `_exit` and `sigaction` are called, which may be in a handler.
        unsafe {
            let at = (*info).si_addr() as usize;
            if let Some(mapping) = mappings().find(|mapping| (mapping.start..mapping.start + mapping.len.max(1)).contains(&at)) {
                let prefix = PREFIX.get().copied().unwrap_or_default();
                libc::write(2, prefix.as_ptr().cast(), prefix.len());
                libc::write(2, mapping.complaint.as_ptr().cast(), mapping.complaint.len());
                libc::_exit(2);
            }
            // On return the access is tried again, and handled as it would have been.
            let before = BEFORE.get().map_or(ptr::null(), ptr::from_ref);
            libc::sigaction(libc::SIGBUS, before, ptr::null_mut());
        }
    }

    let _ = PREFIX.set(prefix);
    // SAFETY: plain C structs, of which zero is a value; the handler has the signature that SA_SIGINFO asks for, and runs on the stack that Rust
    // gives threads for such signals.
    unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = complain as extern "C" fn(_, _, _) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        if libc::sigaction(libc::SIGBUS, ptr::null(), &mut before) == 0 {
            let _ = BEFORE.set(before);
            libc::sigaction(libc::SIGBUS, &action, ptr::null_mut());
        }
    }
}

/// Other systems do not let a mapped file be shortened.
#[cfg(not(unix))]
pub fn complain_of_bus_errors(_prefix: &'static str) {}
