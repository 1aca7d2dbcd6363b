//! What was saved is what is read, by this reader and by others.

use super::super::{Checkpoint, Dtype, TensorRef, TensorSource, encode, save};
use super::{bad_input, contents, metadata, tensors};
use crate::files::TensorFile;
use crate::{Error, Result};

/// A slice handed out in pieces of a given size.
struct Pieces<'a>(&'a [u8], usize);

impl TensorSource for Pieces<'_> {
    fn for_each_chunk(&self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.0.chunks(self.1).try_for_each(sink)
    }
}

#[test]
fn reads_back_what_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    save(&path, &metadata(), &tensors()).unwrap();
    assert_eq!(contents(folder.path()), ["x.safetensors"]);
    let read = Checkpoint::open_verified(&path).unwrap();
    assert_eq!(read.metadata(), &metadata());
    assert_eq!(read.names().collect::<Vec<_>>(), ["a.codes", "a.scale", "a.votes", "none", "rng", "t"]);
    assert_eq!(read.u8("a.codes", &[3, 1]).unwrap(), [0x88, 0x12, 0xfe]);
    assert_eq!(read.i8("a.votes", &[5]).unwrap(), [-128, -1, 0, 1, 127]);
    assert_eq!(read.u32("rng", &[3]).unwrap(), [0, 1, u32::MAX]);
    assert!(read.f32("none", &[4, 0]).unwrap().is_empty());
    assert_eq!(read.elements::<u64>("t", &[]).unwrap(), [0x0807_0605_0403_0201]);
    let bits: Vec<u32> = read.f32("a.scale", &[2, 3]).unwrap().iter().map(|x| x.to_bits()).collect();
    let expected = [1.0, -0.0, f32::NAN, f32::INFINITY, 1e-45, 3.5].map(f32::to_bits);
    assert_eq!(bits, expected);
    for name in read.names() {
        let view = read.tensor(name).unwrap();
        assert_eq!(&read.mapping()[view.range], view.bytes, "{name}");
    }
    assert_eq!(read.header().data_start() % 64, 0);
    assert_eq!(read.meta("step").unwrap(), "12");
    assert_eq!(read.parse_meta::<u64>("step").unwrap(), 12);
}

#[test]
fn same_content_gives_same_bytes() {
    let expected = encode(&metadata(), &tensors()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    for piece in [1, 2, 7, 1000] {
        let originals = tensors();
        let sources: Vec<Pieces> = originals
            .iter()
            .map(|tensor| match tensor.data {
                super::super::TensorData::Bytes(bytes) => Pieces(bytes, piece),
                super::super::TensorData::Source(_) => unreachable!("the sample is in memory"),
            })
            .collect();
        let mut streamed: Vec<TensorRef> = originals
            .iter()
            .zip(&sources)
            .map(|(tensor, source)| TensorRef::streamed(&tensor.name, tensor.dtype, &tensor.shape, source))
            .collect();
        streamed.rotate_left(piece % 5);
        streamed.reverse();
        save(&path, &metadata(), &streamed).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), expected, "pieces of {piece} bytes");
    }
}

/// Freezes the format: a change of these bytes needs a new format version. The tensors' checksums are those of Python's xxhash.
#[test]
fn writes_these_bytes() {
    let tensors = [TensorRef::u8("b.codes", &[3], &[0x88, 0x12, 0xfe]), TensorRef::f32("b.scale", &[1, 2], &[1.0, 0.5])];
    let bytes = encode(&[("step".into(), "7".into())].into(), &tensors).unwrap();
    let json = concat!(
        r#"{"__metadata__":{"primal.format":"1","primal.header_xxh3":"HEADER","#,
        r#""primal.xxh3/b.codes":"CODES","primal.xxh3/b.scale":"SCALE","step":"7"},"#,
        r#""b.codes":{"dtype":"U8","shape":[3],"data_offsets":[8,11]},"#,
        r#""b.scale":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#
    );
    let json = json
        .replace("HEADER", "1b1325b9d2a79a862a497ae33fa56723")
        .replace("CODES", "86026289c7501359b5890df4da1a40cb")
        .replace("SCALE", "c1a4383ae5b1932b02a39e6288e7b465");
    let mut expected = (376u64).to_le_bytes().to_vec();
    expected.extend_from_slice(json.as_bytes());
    expected.resize(384, b' ');
    expected.extend_from_slice(&[0, 0, 0x80, 0x3f, 0, 0, 0, 0x3f, 0x88, 0x12, 0xfe]);
    let text = String::from_utf8_lossy;
    assert_eq!(bytes, expected, "\n{}\n{}", text(&bytes), text(&expected));
}

#[test]
fn other_readers_see_the_same_tensors() {
    let bytes = encode(&metadata(), &tensors()).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let ours = Checkpoint::from_bytes("x", &bytes).unwrap();
    assert_eq!(theirs.len(), tensors().len());
    for (name, theirs) in theirs.tensors() {
        let view = ours.tensor(&name).unwrap();
        assert_eq!(
            (Dtype::from_safetensors(theirs.dtype()), theirs.shape(), theirs.data()),
            (Some(view.dtype), view.shape, view.bytes),
            "{name}"
        );
    }
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let stored = header.metadata().as_ref().unwrap();
    for (key, value) in metadata() {
        assert_eq!(stored.get(&key), Some(&value), "{key}");
    }
}

#[test]
fn nothing_at_all_is_a_checkpoint_too() {
    let bytes = encode(&[].into(), &[]).unwrap();
    let read = Checkpoint::from_bytes("x", &bytes).unwrap();
    read.verify().unwrap();
    assert_eq!(read.names().count(), 0);
    assert!(bad_input(read.tensor("w")).contains("no tensor at all"));
}

#[test]
fn another_tensor_than_expected_is_named() {
    let bytes = encode(&metadata(), &tensors()).unwrap();
    let read = Checkpoint::from_bytes("run/x.safetensors", &bytes).unwrap();
    let cases = [
        (bad_input(read.u8("a.code", &[3, 1])), "a tensor `a.code`, found 6 others, the nearest `a.codes`"),
        (bad_input(read.f32("a.codes", &[3, 1])), "`a.codes` to be F32 [3, 1], found U8 [3, 1]"),
        (bad_input(read.f32("a.scale", &[3, 2])), "`a.scale` to be F32 [3, 2], found F32 [2, 3]"),
        (bad_input(read.meta("stop")), "metadata `stop`, found only"),
        (bad_input(read.parse_meta::<u64>("config")), "metadata `config` of type u64"),
    ];
    for (message, part) in cases {
        assert!(message.starts_with("run/x.safetensors: "), "{message}");
        assert!(message.contains(part), "{message} should contain {part}");
    }
}

#[test]
fn impossible_tensors_are_refused_before_writing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let huge = usize::MAX / 2;
    let cases = [
        (vec![TensorRef::u8("w", &[4], &[1, 2, 3])], "3 bytes"),
        (vec![TensorRef::u8("w", &[2], &[1, 2, 3])], "3 bytes"),
        (vec![TensorRef::u8("w", &[0], &[]), TensorRef::i8("w", &[0], &[])], "another `w`"),
        (vec![TensorRef::u8("__metadata__", &[0], &[])], "__metadata__"),
        (vec![TensorRef::u8("w", &[huge, huge], &[])], "[9223372"),
        (vec![TensorRef::new("w", Dtype::F4, &[3], &[0, 0])], "whole number"),
    ];
    for (tensors, part) in cases {
        let message = bad_input(save(&path, &metadata(), &tensors));
        assert!(message.contains(part), "{message} should contain {part}");
    }
    let reserved = [("primal.x".to_owned(), String::new())].into();
    assert!(bad_input(save(&path, &reserved, &[])).contains("primal.x"));
    assert_eq!(contents(folder.path()), [""; 0]);
}

#[test]
fn a_failing_source_leaves_nothing_behind() {
    struct Broken;
    impl TensorSource for Broken {
        fn for_each_chunk(&self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
            sink(&[0; 3])?;
            Err(Error::failed("the device is gone", "plug it in"))
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    save(&path, &metadata(), &tensors()).unwrap();
    let tensors = [TensorRef::streamed("w", Dtype::U8, &[6], &Broken)];
    let error = save(&path, &metadata(), &tensors).unwrap_err();
    assert!(error.to_string().contains("the device is gone"), "{error}");
    assert_eq!(contents(folder.path()), ["x.safetensors"]);
    Checkpoint::open_verified(&path).unwrap();
}
