//! `--data`: from paths to checked, memory-mapped texts, each cut into training, validation and test.

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use xxhash_rust::xxh3::xxh3_64;

use super::paths::Part;
use crate::runs::claim::is_run;
use crate::{Error, Result, input};
use primal_engine::files::mapped;

/// The flag that names what is learnt.
pub(super) const DATA: &str = "--data";
/// The name of the embedded source where a path could stand. A file of that name is reached as `./stories`.
pub const STORIES: &str = "stories";

/// A part of the data. Training, validation and test never overlap and together are everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// About the first 95 % of every file.
    Train,
    /// The last 5 % of every file, or the first half of that where a test split is held out.
    Validation,
    /// The second half of the last 5 %; empty unless a test split is held out.
    Test,
    /// Everything, in order.
    All,
}

impl Split {
    /// The name as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
            Self::All => "all",
        }
    }

    /// The split of that name.
    ///
    /// # Errors
    /// Bad input for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        [Self::Train, Self::Validation, Self::Test, Self::All].into_iter().find(|split| split.name() == name).ok_or_else(|| {
            Error::bad_input("--split", "train, validation, test or all", format!("{name:?}"), "the usual choice is --split validation")
        })
    }

    /// The part's range in a sequence of `end` elements whose validation starts at `cuts[0]` and whose test half starts at `cuts[1]`.
    pub(super) fn range(self, cuts: [u64; 2], end: u64, hold_out_test: bool) -> Range<u64> {
        let test = if hold_out_test { cuts[1] } else { end };
        match self {
            Self::Train => 0..cuts[0],
            Self::Validation => cuts[0]..test,
            Self::Test => test..end,
            Self::All => 0..end,
        }
    }
}

/// Bytes in memory or in a mapped file.
pub(super) enum TextBytes {
    Owned(Vec<u8>),
    Mapped(Mmap),
}

impl TextBytes {
    /// As they are in the file.
    pub(super) fn with_mark(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

impl std::ops::Deref for TextBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // The mark of byte order is no text.
        let bytes = self.with_mark();
        bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
    }
}

/// One text: valid UTF-8, not empty, with its content hash and the places where it is cut.
pub struct Source {
    /// The path, or `stories`.
    pub name: String,
    /// xxh3 of the content.
    pub hash: u64,
    pub(super) bytes: TextBytes,
    pub(super) cuts: [u64; 2],
    pub(super) part: Part,
}

impl Source {
    /// A text that is already in memory.
    ///
    /// # Errors
    /// Bad input when it is empty.
    pub fn from_text(name: &str, text: String) -> Result<Self> {
        Self::checked(name.to_string(), TextBytes::Owned(text.into_bytes()))
    }

    /// Maps the file at `path` and checks it.
    ///
    /// # Errors
    /// Bad input when it is missing, not a regular file, empty, or not UTF-8 (with the offset of the first wrong byte).
    pub fn from_file(path: &Path) -> Result<Self> {
        Self::of_flag(path, DATA)
    }

    fn of_flag(path: &Path, flag: &str) -> Result<Self> {
        let name = path.display().to_string();
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, flag, error))?;
        if !metadata.is_file() {
            return Err(Error::bad_input(
                name,
                "a regular file of UTF-8 text",
                "something else (a device, a pipe or a folder)",
                format!("write the text to a file first and pass its path to {flag}"),
            ));
        }
        if metadata.len() == 0 {
            return Err(empty(&name));
        }
        let file = File::open(path).map_err(|error| unreadable(path, flag, error))?;
        let map = mapped::map(&file, path).map_err(|error| unreadable(path, flag, error))?;
        Self::checked(name, TextBytes::Mapped(map))
    }

    fn checked(name: String, bytes: TextBytes) -> Result<Self> {
        if bytes.is_empty() {
            return Err(empty(&name));
        }
        if std::str::from_utf8(&bytes).is_err() {
            return Err(input::not_utf8(&name, bytes.with_mark()));
        }
        let hash = xxh3_64(&bytes);
        let first = line_cut(&bytes, 0, bytes.len() / 20 * 19 + bytes.len() % 20 * 19 / 20);
        let second = line_cut(&bytes, first, first + (bytes.len() - first) / 2);
        Ok(Self { name, hash, bytes, cuts: [first as u64, second as u64], part: Part::All })
    }

    /// Length in bytes.
    pub fn byte_len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Its beginning.
    pub(super) fn head(&self, most: usize) -> &str {
        let head = &self.bytes[..most.min(self.bytes.len())];
        head.utf8_chunks().next().map_or("", |chunk| chunk.valid())
    }

    /// The byte range of a split.
    pub fn range(&self, split: Split, hold_out_test: bool) -> Range<u64> {
        split.range(self.cuts, self.byte_len(), hold_out_test)
    }
}

/// Where to cut `bytes[from..]` near `target`: the next line start, else the last one before, else after the next space, else a character boundary.
///
/// What comes after is between a quarter and twice of what it would be at the target, so that long lines take neither side from a text.
pub(super) fn line_cut(bytes: &[u8], from: usize, target: usize) -> usize {
    let after = bytes.len() - target;
    let (first, last) = (target.saturating_sub(after).max(from + 1), bytes.len() - after / 4);
    let follows = |byte: u8| move |at: &usize| bytes[at - 1] == byte;
    let next = || target.max(first)..last;
    let line = next().find(follows(b'\n')).or_else(|| (first..target).rev().find(follows(b'\n')));
    line.or_else(|| next().take(LONGEST_WORD).find(follows(b' '))).unwrap_or_else(|| {
        let is_boundary = |at: &usize| bytes.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
        (target..=bytes.len()).find(is_boundary).unwrap_or(bytes.len())
    })
}

/// Bytes in which a space is looked for.
const LONGEST_WORD: usize = 64;

/// The texts that the arguments of a flag name, in order; a folder stands for its files, recursively, sorted by path.
///
/// Hidden entries, empty files and runs of this program inside a folder are passed over; links are followed, but not into a folder that they lie in.
///
/// # Errors
/// Bad input for a missing path, an empty file or folder, or text that is not UTF-8.
pub(super) fn open(sources: &[String], flag: &str, stories: impl Fn() -> String) -> Result<Vec<Source>> {
    open_all(&names(sources, flag)?, flag, stories)
}

/// The texts in files, and `stories`.
pub(super) fn open_all(names: &[PathBuf], flag: &str, stories: impl Fn() -> String) -> Result<Vec<Source>> {
    let named = |name: &PathBuf| {
        if name.as_os_str() == STORIES { Source::from_text(STORIES, stories()) } else { Source::of_flag(name, flag) }
    };
    names.iter().map(named).collect()
}

/// The files that they name, and `stories`.
pub(super) fn names(sources: &[String], flag: &str) -> Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for source in sources {
        let path = Path::new(source);
        if source == STORIES || !path.is_dir() {
            names.push(source.into());
            continue;
        }
        let mut files = Vec::new();
        collect(path, flag, &mut Vec::new(), &mut files)?;
        if files.is_empty() {
            return Err(Error::bad_input(
                source,
                "a folder with text files",
                "no file with any content",
                "hidden files and runs are passed over; check the path or name the files themselves",
            ));
        }
        names.extend(files);
    }
    if names.is_empty() {
        let hint = "leave --data out to train on the embedded stories";
        return Err(Error::bad_input(flag, "stories, or one or more files or folders", "nothing", hint));
    }
    Ok(names)
}

/// Appends the files in a folder, which lies within those of `above`.
fn collect(folder: &Path, flag: &str, above: &mut Vec<PathBuf>, files: &mut Vec<PathBuf>) -> Result<()> {
    let resolved = folder.canonicalize().map_err(|error| unreadable(folder, flag, error))?;
    // A link to where we come from goes round in circles.
    if above.contains(&resolved) || is_run(folder) {
        return Ok(());
    }
    above.push(resolved);
    let mut entries =
        fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>).map_err(|error| unreadable(folder, flag, error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let metadata = fs::metadata(&path).map_err(|error| unreadable(&path, flag, error))?;
        if metadata.is_dir() {
            collect(&path, flag, above, files)?;
        } else if metadata.is_file() && metadata.len() > 0 {
            files.push(path);
        }
    }
    above.pop();
    Ok(())
}

fn empty(name: &str) -> Error {
    Error::bad_input(name, "UTF-8 text", "an empty file (0 bytes)", "give a file with some text")
}

fn unreadable(path: &Path, flag: &str, error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Error::bad_input(
            format!("{flag} {path:?}"),
            "a file or folder of UTF-8 text",
            "no such path",
            format!("check the spelling of {flag}; the word `stories` stands for the embedded source"),
        );
    }
    Error::io("reading", path, error, format!("check the permissions of the path given to {flag}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(result: Result<Vec<Source>>) -> String {
        match result {
            Ok(_) => panic!("expected an error"),
            Err(error) => {
                assert_eq!(error.exit_code(), 2, "{error}");
                error.to_string()
            }
        }
    }

    fn open_path(path: &Path) -> Result<Vec<Source>> {
        open(&[path.display().to_string()], DATA, String::new)
    }

    #[test]
    fn bad_input_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.txt");
        let text = message(open_path(&missing));
        assert!(text.contains("missing.txt") && text.contains("no such path"), "{text}");

        let text = message(open_path(folder.path()));
        assert!(text.contains("no file with any content"), "{text}");

        let path = folder.path().join("empty.txt");
        fs::write(&path, "").unwrap();
        let text = message(open_path(&path));
        assert!(text.contains("empty.txt") && text.contains("empty file"), "{text}");
        let text = message(open_path(folder.path()));
        assert!(text.contains("no file with any content"), "{text}");

        let path = folder.path().join("latin1.txt");
        fs::write(&path, b"caf\xe9 au lait\n").unwrap();
        let text = message(open_path(&path));
        assert!(text.contains("latin1.txt") && text.contains("0xe9 at offset 3"), "{text}");
        let text = message(open_path(folder.path()));
        assert!(text.contains("latin1.txt"), "{text}");

        let text = message(open_path(Path::new("/dev/null")));
        assert!(text.contains("regular file"), "{text}");
        let text = message(open(&[], DATA, String::new));
        assert!(text.contains("--data"), "{text}");
        let text = message(open(&[STORIES.to_string()], DATA, String::new));
        assert!(text.contains("empty"), "{text}");
    }

    #[test]
    fn folders_are_read_in_sorted_order() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("b/deep")).unwrap();
        fs::create_dir_all(folder.path().join(".git")).unwrap();
        for (name, text) in [
            ("c.txt", "third\n"),
            ("b/deep/x.txt", "second\n"),
            ("a.txt", "first\n"),
            (".git/config", "hidden\n"),
            ("b/.hidden", "hidden\n"),
            ("b/empty", ""),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let texts = open_path(folder.path()).unwrap();
        let names: Vec<_> = texts.iter().map(|text| text.name[folder.path().as_os_str().len() + 1..].to_string()).collect();
        assert_eq!(names, ["a.txt", "b/deep/x.txt", "c.txt"]);
    }

    #[test]
    fn cut_falls_on_the_next_line_start() {
        let text = "0123456789\n".repeat(100);
        let source = Source::from_text("t", text).unwrap();
        // 95 % of 1100 bytes is 1045, itself the start of line 95.
        assert_eq!(source.range(Split::Train, false), 0..1045);
        assert_eq!(source.range(Split::Validation, false), 1045..1100);
        // Half of the last 55 bytes is 27, so the next line start is 1045 + 33.
        assert_eq!(source.range(Split::Validation, true), 1045..1078);
        assert_eq!(source.range(Split::Test, true), 1078..1100);
        assert_eq!(source.range(Split::All, true), 0..1100);
    }

    proptest! {
        #[test]
        fn splits_cover_the_text_and_never_overlap(
            text in "([a-zéλ☃ ]{0,40}\n?){1,60}".prop_filter("not empty", |text| !text.is_empty()),
            hold_out in any::<bool>(),
        ) {
            let source = Source::from_text("t", text.clone()).unwrap();
            let mut end = 0;
            for split in [Split::Train, Split::Validation, Split::Test] {
                let range = source.range(split, hold_out);
                prop_assert_eq!(range.start, end, "{:?}", split);
                prop_assert!(range.end >= range.start);
                prop_assert!(text.is_char_boundary(range.end as usize));
                end = range.end;
            }
            prop_assert_eq!(end, text.len() as u64);
            if !hold_out {
                prop_assert!(source.range(Split::Test, false).is_empty());
            }
        }
    }
}
