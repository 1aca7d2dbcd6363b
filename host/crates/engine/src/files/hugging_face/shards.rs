//! Models as Hugging Face keeps them: a folder, one of its cache with links into `blobs`, or the first of several files with an index beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};

use crate::files::mapped;
use crate::files::tensor_file::{TensorFile, View};
use crate::{Error, Result};

/// Files of weights in a folder; the first that is there counts, as in transformers.
const WEIGHTS: [&str; 4] = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];
const INDEX_END: &str = ".index.json";
/// Bytes of the longest index or configuration; those of the largest models have a few megabytes.
const MAX_JSON: usize = 16_000_000;
/// Bytes of the longest name of a revision.
const MAX_REVISION: usize = 256;
const HINT: &str = "get all files of the model from where it came";

/// Several files of tensors whose names are different, as one.
#[derive(Debug)]
pub struct Shards {
    path: PathBuf,
    files: Vec<Box<dyn TensorFile>>,
    /// Indices of files by the name of a tensor.
    by_name: BTreeMap<String, usize>,
}

/// Which files a path stands for.
pub struct Parts {
    /// One, or several in the order of their names.
    pub files: Vec<PathBuf>,
    /// The names of files by the names of tensors, where there is an index.
    pub index: Option<BTreeMap<String, String>>,
}

#[derive(serde::Deserialize)]
struct Index {
    #[serde(deserialize_with = "each_once")]
    weight_map: BTreeMap<String, String>,
}

/// A map of which no key comes twice.
fn each_once<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<BTreeMap<String, String>, D::Error> {
    struct EachOnce;

    impl<'de> Visitor<'de> for EachOnce {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a map of names")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = entries.next_entry()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(format!("`{key}` twice")));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(EachOnce)
}

/// The folder in which the files of a model lie: of a folder of the cache (`models--…`) that of the revision `main`, of a file its own. A folder with
/// weights is never one of the cache.
///
/// # Errors
/// I/O errors of `refs/main`; a folder of the cache without that revision.
pub fn folder(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(crate::files::durable::folder_of(path).into());
    }
    let snapshots = path.join("snapshots");
    if !snapshots.is_dir() || weights_in(path).is_some() {
        return Ok(path.into());
    }
    const WHAT: &str = "the name of a folder in `snapshots`";
    const HINT: &str = "give one of the folders in `snapshots`";
    let main = path.join("refs/main");
    let bad = |found: String| Error::invalid(main.display(), WHAT, found, HINT);
    let bytes = mapped::open(&main, WHAT, HINT)?.ok_or_else(|| bad("an empty file".into()))?;
    if bytes.len() > MAX_REVISION {
        return Err(bad(format!("{} bytes, of {MAX_REVISION} at most", bytes.len())));
    }
    let name = String::from_utf8_lossy(&bytes);
    let revision = snapshots.join(name.trim());
    if is_plain(name.trim()) && revision.is_dir() { Ok(revision) } else { Err(bad(format!("{name:?}"))) }
}

/// The files of a path: itself, unless it is a folder, an index, or the first of several.
///
/// # Errors
/// A folder without a model, an index that cannot be read, a file that is missing.
pub fn parts(path: &Path) -> Result<Parts> {
    let path = if path.is_dir() { weights(&folder(path)?)? } else { path.into() };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let first = First::of(name);
    let is_first = first.is_some();
    let index = match &first {
        _ if name.ends_with(INDEX_END) => Some(path.clone()),
        Some(first) => Some(path.with_file_name(first.index())).filter(|index| index.is_file()),
        None => None,
    };
    let index = index.map(|index| read(&index)).transpose()?;
    let names: BTreeSet<String> = match (&index, first) {
        (Some(index), _) => index.values().cloned().collect(),
        (None, Some(first)) => first.all().collect(),
        (None, None) => return Ok(Parts { files: vec![path], index }),
    };
    if is_first && !names.contains(name) {
        return Err(Error::invalid(path.display(), "one of the files of the index beside it", "the index has others", HINT));
    }
    let files: Vec<PathBuf> = names.iter().map(|name| path.with_file_name(name)).collect();
    match files.iter().find(|file| !file.exists()) {
        Some(missing) => Err(Error::invalid(path.display(), format!("{} files", files.len()), format!("no {}", missing.display()), HINT)),
        None => Ok(Parts { files, index }),
    }
}

fn weights_in(folder: &Path) -> Option<PathBuf> {
    WEIGHTS.iter().map(|name| folder.join(name)).find(|file| file.exists())
}

/// The file of weights that a folder has to have.
fn weights(folder: &Path) -> Result<PathBuf> {
    weights_in(folder).ok_or_else(|| {
        let expected = format!("a folder with {}", WEIGHTS.join(", or "));
        let tokenizer = if folder.join("tokenizer.model").exists() { ", which has a `tokenizer.model`" } else { "" };
        Error::invalid(
            folder.display(),
            expected,
            format!("a folder without{tokenizer}"),
            "give the folder of a model, or a file of tensors",
        )
    })
}

fn read(path: &Path) -> Result<BTreeMap<String, String>> {
    const WHAT: &str = "an index of tensors by file";
    let bad = |found: String| Err(Error::invalid(path.display(), WHAT, found, HINT));
    let Index { weight_map } = json(path, WHAT)?;
    match weight_map.values().find(|name| !is_plain(name)) {
        Some(name) => bad(format!("{name:?}, which is no name of a file beside it")),
        None if weight_map.is_empty() => bad("none".into()),
        None => Ok(weight_map),
    }
}

/// Reads a JSON file; `what` was expected.
pub(super) fn json<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T> {
    let bad = |found: String| Error::invalid(path.display(), what, found, HINT);
    let bytes = mapped::open(path, what, HINT)?.ok_or_else(|| bad("an empty file".into()))?;
    if bytes.len() > MAX_JSON {
        return Err(bad(format!("{} bytes, of {MAX_JSON} at most", bytes.len())));
    }
    serde_json::from_slice(&bytes).map_err(|error| bad(format!("something else: {error}")))
}

/// Whether a name from a file leads to nothing but a neighbour.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':', '\0'])
}

/// The parts of `model-00001-of-00003.safetensors`.
struct First<'a> {
    stem: &'a str,
    extension: &'a str,
    count: usize,
}

impl<'a> First<'a> {
    fn of(name: &'a str) -> Option<Self> {
        let (stem, extension) = name.rsplit_once('.')?;
        let (stem, count) = stem.rsplit_once("-00001-of-")?;
        let is_number = count.len() == 5 && count.bytes().all(|byte| byte.is_ascii_digit());
        let count = count.parse().ok().filter(|&count| is_number && count > 1)?;
        Some(Self { stem, extension, count })
    }

    fn index(&self) -> String {
        format!("{}.{}{INDEX_END}", self.stem, self.extension)
    }

    fn all(self) -> impl Iterator<Item = String> {
        (1..=self.count).map(move |i| format!("{}-{i:05}-of-{:05}.{}", self.stem, self.count, self.extension))
    }
}

impl Shards {
    /// The open files of `parts`, which `path` stands for.
    ///
    /// # Errors
    /// A tensor in two files, or in another than the index says.
    pub fn new(path: &Path, parts: &Parts, files: Vec<Box<dyn TensorFile>>) -> Result<Self> {
        let bad = |found: String| Error::invalid(path.display(), "files with a part of the tensors each", found, HINT);
        let mut by_name = BTreeMap::new();
        for (i, file) in files.iter().enumerate() {
            for name in file.names() {
                if let Some(other) = by_name.insert(name.to_owned(), i) {
                    return Err(bad(format!("`{name}` in {} and {}", files[other].path().display(), file.path().display())));
                }
            }
        }
        for (name, file) in parts.index.iter().flatten() {
            let is_there = by_name.get(name).is_some_and(|&i| parts.files[i].file_name().is_some_and(|found| found == file.as_str()));
            if !is_there {
                return Err(bad(format!("no `{name}` in {file}, where the index has it")));
            }
        }
        Ok(Self { path: path.into(), files, by_name })
    }
}

impl TensorFile for Shards {
    fn kind(&self) -> &'static str {
        "a model in several files"
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn file_len(&self) -> usize {
        self.files.iter().map(|file| file.file_len()).sum()
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.by_name.keys().map(String::as_str))
    }

    fn find(&self, name: &str) -> Option<View<'_>> {
        self.files[*self.by_name.get(name)?].find(name)
    }

    /// Of the first file; all have the same.
    fn metadata(&self) -> &BTreeMap<String, String> {
        self.files[0].metadata()
    }

    fn verify(&self, wanted: &dyn Fn(&str) -> bool) -> Result<bool> {
        self.files.iter().try_fold(true, |all, file| Ok(all & file.verify(wanted)?))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use safetensors::Dtype;
    use safetensors::tensor::{TensorView, serialize};

    use super::*;
    use crate::files::open;

    /// A safetensors file of tensors of three bytes.
    fn shard(names: &[&str]) -> Vec<u8> {
        let view = TensorView::new(Dtype::U8, vec![3], b"abc").unwrap();
        serialize(names.iter().map(|name| (name.to_string(), view.clone())), None).unwrap()
    }

    const INDEX: &str = WEIGHTS[1];
    const FIRST: &str = "model-00001-of-00002.safetensors";
    const SECOND: &str = "model-00002-of-00002.safetensors";

    fn index(weights: &[(&str, &str)]) -> String {
        let map: BTreeMap<_, _> = weights.iter().copied().collect();
        serde_json::json!({"metadata": {"total_size": 9}, "weight_map": map}).to_string()
    }

    /// A folder of two files and an index.
    fn model() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
        write(FIRST, shard(&["a", "c"]));
        write(SECOND, shard(&["b"]));
        write(INDEX, index(&[("a", FIRST), ("b", SECOND), ("c", FIRST)]).into());
        folder
    }

    fn require_whole(path: &Path) {
        let file = open(path).unwrap();
        assert_eq!(file.names().collect::<Vec<_>>(), ["a", "b", "c"], "{}", path.display());
        assert!(file.names().all(|name| &*file.view(name).unwrap().bytes().unwrap() == b"abc"));
        assert!(!file.verify(&|_| true).unwrap() && file.view("d").is_err());
        assert!(file.names().all(|name| file.view(name).unwrap().mapping().is_some_and(|(map, range)| &map[range] == b"abc")));
    }

    #[test]
    fn a_folder_its_index_and_its_first_file_are_the_model() {
        let folder = model();
        for name in ["", INDEX, FIRST] {
            require_whole(&folder.path().join(name));
        }
        fs::remove_file(folder.path().join(INDEX)).unwrap();
        require_whole(&folder.path().join(FIRST));
        assert_eq!(open(folder.path().join(SECOND)).unwrap().names().collect::<Vec<_>>(), ["b"]);
        fs::write(folder.path().join("model.safetensors"), shard(&["w"])).unwrap();
        assert_eq!(open(folder.path()).unwrap().names().collect::<Vec<_>>(), ["w"]);
        // As in transformers, and whatever the folder has besides.
        fs::write(folder.path().join(INDEX), index(&[("a", FIRST), ("b", SECOND), ("c", FIRST)])).unwrap();
        fs::create_dir(folder.path().join("snapshots")).unwrap();
        assert_eq!(open(folder.path()).unwrap().names().collect::<Vec<_>>(), ["w"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_of_the_cache_are_followed() {
        use std::os::unix::fs::symlink;

        let cache = tempfile::tempdir().unwrap();
        let (blobs, revision) = (cache.path().join("blobs"), cache.path().join("snapshots/0123abcd"));
        [&blobs, &revision, &cache.path().join("refs")].iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
        let model = model();
        for (i, name) in [FIRST, SECOND, INDEX].iter().enumerate() {
            fs::copy(model.path().join(name), blobs.join(i.to_string())).unwrap();
            symlink(format!("../../blobs/{i}"), revision.join(name)).unwrap();
        }
        require_whole(&revision);
        require_whole(&revision.join(FIRST));
        let long = "m".repeat(257);
        let long = &long[..];
        for (main, is_good) in [("0123abcd\n", true), ("../blobs", false), ("", false), ("none", false), (long, false)] {
            fs::write(cache.path().join("refs/main"), main).unwrap();
            match open(cache.path()) {
                Ok(_) => assert!(is_good, "{main:?}"),
                Err(error) => assert!(!is_good && error.to_string().contains("refs/main"), "{main:?}: {error}"),
            }
        }
        fs::remove_file(cache.path().join("refs/main")).unwrap();
        assert!(matches!(folder(cache.path()).unwrap_err(), Error::Io { .. }));
        assert_eq!(folder(&revision.join(FIRST)).unwrap(), revision);
    }

    #[test]
    fn what_is_missing_or_in_another_file_is_named() {
        let cases: [(String, &str); 8] = [
            (format!(r#"{{"weight_map":{{"a":"{FIRST}","b":"{SECOND}","a":"{FIRST}"}}}}"#), "`a` twice"),
            (index(&[("a", FIRST), ("b", FIRST), ("c", FIRST)]), "no `b` in"),
            (index(&[("a", FIRST), ("b", SECOND), ("d", FIRST)]), "no `d` in"),
            (index(&[("a", "other.safetensors"), ("b", SECOND)]), "other.safetensors"),
            (index(&[("a", "../model.safetensors")]), "no name of a file beside it"),
            (index(&[("a", "/etc/passwd")]), "no name of a file beside it"),
            (index(&[]), "found none"),
            ("[".repeat(100_000), "something else"),
        ];
        for (json, part) in cases {
            let folder = model();
            fs::write(folder.path().join(INDEX), json).unwrap();
            let message = open(folder.path()).expect_err(part).to_string();
            assert!(message.contains(part), "{part:?} in: {message}");
        }
        let folder = model();
        fs::write(folder.path().join(INDEX), index(&[("b", SECOND)])).unwrap();
        assert!(open(folder.path().join(FIRST)).unwrap_err().to_string().contains("the index has others"));
        let folder = model();
        fs::write(folder.path().join(SECOND), shard(&["a", "b"])).unwrap();
        assert!(open(folder.path()).unwrap_err().to_string().contains("`a` in"));
        fs::remove_file(folder.path().join(SECOND)).unwrap();
        fs::remove_file(folder.path().join(INDEX)).unwrap();
        assert!(open(folder.path().join(FIRST)).unwrap_err().to_string().contains(SECOND));
        assert!(open(folder.path()).unwrap_err().to_string().contains("a folder without"));
    }
}
