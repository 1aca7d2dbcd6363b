//! Safetensors files of other programs (<https://huggingface.co/docs/safetensors>), mapped as they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::checkpoint::{Checkpoint, VERSION_KEY};
use super::tensor_file::{Format, OpenedFile, TensorFile, View};
use crate::{Error, Result};

/// Bytes of the length that starts the file.
const PREFIX: usize = 8;
/// The longest header that the format allows.
const MAX_HEADER: usize = 100_000_000;
const HINT: &str = "the file is damaged or incomplete: get it again from where it came, or save it again";

/// Any safetensors files.
pub const FORMAT: Format = Format { name: "a safetensors file", is: |bytes| bytes.get(PREFIX) == Some(&b'{'), open };

/// An open safetensors file. Nothing in it tells whether its values are as they were written.
#[derive(Debug)]
pub struct Safetensors {
    path: PathBuf,
    map: Arc<Mmap>,
    /// The ranges are positions in the file.
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Range<usize>)>,
    metadata: BTreeMap<String, String>,
}

/// The JSON of a header, no name of which comes twice.
#[derive(Default)]
struct Header {
    metadata: Option<HashMap<String, String>>,
    tensors: Vec<(String, TensorInfo)>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let (mut header, mut names) = (Header::default(), BTreeSet::new());
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("`{name}` comes twice")));
                    }
                    match name.as_str() {
                        "__metadata__" => header.metadata = map.next_value()?,
                        _ => header.tensors.push((name, map.next_value()?)),
                    }
                }
                Ok(header)
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

fn open(source: OpenedFile) -> Result<Box<dyn TensorFile>> {
    let bad = |found: String| Error::invalid(source.path.display(), FORMAT.name, found, HINT);
    let len = source.map.len();
    let (start, header) = header(&source.map).map_err(bad)?;
    if header.metadata.as_ref().is_some_and(|metadata| metadata.contains_key(VERSION_KEY)) {
        // By an escape in the key: no checkpoint that this program wrote, and it is not to pass for one.
        return Ok(Box::new(Checkpoint::from_opened(source)?));
    }
    let Header { metadata, mut tensors } = header;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    // It checks that shapes fit their ranges, and that these follow one another without gap and overlap.
    let layout = Metadata::new(None, tensors.clone()).map_err(|error| bad(format!("one whose header makes no sense: {error}")))?;
    if start.checked_add(layout.data_len()) != Some(len) {
        return Err(bad(format!("one of {len} bytes, whose header asks for {start} and {} of data", layout.data_len())));
    }
    let place = |(name, info): (String, TensorInfo)| {
        let (first, end) = info.data_offsets;
        (name, (info.dtype, info.shape, start + first..start + end))
    };
    Ok(Box::new(Safetensors {
        tensors: tensors.into_iter().map(place).collect(),
        metadata: metadata.into_iter().flatten().collect(),
        path: source.path,
        map: Arc::new(source.map),
    }))
}

/// The header, and where the data begin.
///
/// # Errors
/// What was found instead, in words.
fn header(bytes: &[u8]) -> Result<(usize, Header), String> {
    let length = bytes.first_chunk::<PREFIX>().map_or(0, |prefix| u64::from_le_bytes(*prefix));
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MAX_HEADER {
        return Err(format!("a header of {length} bytes, which may have at most {MAX_HEADER}"));
    }
    let json = bytes
        .get(PREFIX..PREFIX + length)
        .ok_or_else(|| format!("a file of {} bytes that ends within its header of {length} bytes", bytes.len()))?;
    let header = serde_json::from_slice(json).map_err(|error| format!("a header that cannot be read: {error}"))?;
    Ok((PREFIX + length, header))
}

impl TensorFile for Safetensors {
    fn kind(&self) -> &'static str {
        FORMAT.name
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn file_len(&self) -> usize {
        self.map.len()
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.tensors.keys().map(String::as_str))
    }

    fn find(&self, name: &str) -> Option<View<'_>> {
        let (dtype, shape, range) = self.tensors.get(name)?;
        Some(View::mapped(*dtype, shape, &self.map, range.clone()))
    }

    fn mapping(&self) -> Option<&Arc<Mmap>> {
        Some(&self.map)
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::from_bytes;

    /// A file of this JSON and so many bytes of data.
    fn file(json: &str, data: usize) -> Vec<u8> {
        [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &vec![7; data]].concat()
    }

    #[test]
    fn what_the_crate_accepts_is_read_as_the_crate_reads_it() {
        let json = r#"{"b":{"dtype":"F16","shape":[2,1],"data_offsets":[3,7]},"__metadata__":{"by":"ü\u0001"},
            "a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"none":{"dtype":"F32","shape":[0,9],"data_offsets":[7,7]},
            "one":{"dtype":"I64","shape":[],"data_offsets":[7,15]},"four":{"dtype":"F4","shape":[2],"data_offsets":[15,16]}}   "#;
        let bytes = file(json, 16);
        let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let ours = from_bytes("x", &bytes).unwrap();
        assert_eq!(ours.kind(), FORMAT.name);
        assert_eq!(ours.names().collect::<Vec<_>>(), ["a", "b", "four", "none", "one"]);
        for name in ours.names() {
            let (view, expected) = (ours.view(name).unwrap(), theirs.tensor(name).unwrap());
            assert_eq!((view.dtype, view.shape, &*view.bytes().unwrap()), (expected.dtype(), expected.shape(), expected.data()), "{name}");
            assert_eq!(view.byte_len(), expected.data().len(), "{name}");
            assert_eq!(&ours.mapping().unwrap()[view.range().unwrap()], expected.data(), "{name}");
        }
        assert_eq!(ours.metadata()["by"], "ü\u{1}");
        assert!(!ours.verify(&|_| true).unwrap());
        assert!(from_bytes("x", &file("{}", 0)).unwrap().names().next().is_none());
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let tensor = |name: &str, dtype: &str, shape: &str, first: u64, end: u64| {
            format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{first},{end}]}}"#)
        };
        let object = |entries: &[String]| format!("{{{}}}", entries.join(","));
        let most = u64::MAX;
        // Eight tensors of nearly the address space each, whose ends no sum may pass.
        let step = most / 8;
        let vast: Vec<String> = (0..8).map(|i| tensor(&i.to_string(), "U8", &format!("[{step}]"), i * step, (i + 1) * step)).collect();
        let cases = [
            (object(&[tensor("a", "U8", "[4]", 0, 4)]), 3, "of data"),
            (object(&[tensor("a", "U8", "[4]", 0, 4)]), 5, "of data"),
            (object(&[tensor("a", "U8", "[4]", 0, 4), tensor("b", "U8", "[4]", 2, 6)]), 6, "makes no sense"),
            (object(&[tensor("a", "U8", "[4]", 0, 4), tensor("b", "U8", "[4]", 5, 9)]), 9, "makes no sense"),
            (object(&[tensor("a", "F32", "[4]", 0, 4)]), 4, "makes no sense"),
            (object(&[tensor("a", "U8", "[0]", 4, 0)]), 4, "makes no sense"),
            (object(&[tensor("a", "U8", "[4294967296,4294967296]", 0, 0)]), 0, "makes no sense"),
            (object(&[tensor("a", "F32", "[4611686018427387904]", 0, 0)]), 0, "makes no sense"),
            (object(&[tensor("a", "F4", "[3]", 0, 1)]), 1, "makes no sense"),
            (object(&[tensor("a", "U8", &format!("[{most}]"), 0, most)]), 0, "makes no sense"),
            (object(&vast), 0, "of data"),
            (object(&[tensor("a", "U8", "[2]", 0, 2), tensor("a", "U8", "[2]", 0, 2)]), 2, "`a` comes twice"),
            (object(&[r#""__metadata__":{}"#.into(), r#""__metadata__":{}"#.into()]), 0, "comes twice"),
            (object(&[tensor("a", "U8", "[-1]", 0, 0)]), 0, "cannot be read"),
            (object(&[tensor("a", "Q4", "[1]", 0, 1)]), 1, "cannot be read"),
            (object(&[r#""__metadata__":{"a":1}"#.into()]), 0, "cannot be read"),
            (format!("{{\"a\":{}", "[".repeat(100_000)), 0, "cannot be read"),
            (r#"{"__metadata__":{"primal\u002eformat":"1"}}"#.into(), 0, "does not match its checksum"),
        ];
        for (json, data, part) in cases {
            let message = from_bytes("x", &file(&json, data)).expect_err("a file to be refused").to_string();
            assert!(message.starts_with("x: ") && message.contains(part), "{part:?} in: {message}");
        }
        let mut long = file("{}", 0);
        for length in [3, 1 << 30, u64::MAX] {
            long[..8].copy_from_slice(&length.to_le_bytes());
            let message = from_bytes("x", &long).expect_err("a file to be refused").to_string();
            assert!(message.contains("header of"), "{message}");
        }
    }
}
