//! Every damaged or foreign file is refused, with a message of its own, and none makes the reader panic.

use proptest::prelude::*;

use super::super::{Checkpoint, encode};
use super::{bad_input, metadata, tensors};
use crate::Result;

/// Opens and verifies, then reads everything there is.
fn read(bytes: &[u8]) -> Result<Checkpoint> {
    let checkpoint = Checkpoint::from_bytes("x.safetensors", bytes)?;
    checkpoint.verify()?;
    for name in checkpoint.names() {
        let view = checkpoint.tensor(name)?;
        let _ = checkpoint.f32(name, view.shape);
        let _ = checkpoint.u8(name, view.shape);
    }
    Ok(checkpoint)
}

/// A file with this header, padded as it should be, and this data.
fn file(json: &[u8], data: &[u8]) -> Vec<u8> {
    let start = (8 + json.len()).next_multiple_of(64);
    let mut bytes = (start as u64 - 8).to_le_bytes().to_vec();
    bytes.extend_from_slice(json);
    bytes.resize(start, b' ');
    bytes.extend_from_slice(data);
    bytes
}

#[test]
fn every_flipped_bit_is_caught() {
    let mut bytes = encode(&metadata(), &tensors()).unwrap();
    read(&bytes).unwrap();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&bytes).is_err(), "bit {} of byte {} of {} went unnoticed", bit % 8, bit / 8, bytes.len());
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    read(&bytes).unwrap();
}

#[test]
fn every_truncation_is_caught() {
    let bytes = encode(&metadata(), &tensors()).unwrap();
    for len in 0..bytes.len() {
        assert!(read(&bytes[..len]).is_err(), "{len} of {} bytes went unnoticed", bytes.len());
    }
    let message = bad_input(read(&bytes[..bytes.len() - 1]));
    assert!(message.contains("cut short"), "{message}");
    assert!(message.contains("earlier checkpoint of the run"), "{message}");
}

#[test]
fn trailing_bytes_are_caught() {
    let bytes = encode(&metadata(), &tensors()).unwrap();
    for tail in [&b"\0"[..], b" ", b"\n", &[0; 64], &bytes] {
        let message = bad_input(read(&[&bytes, tail].concat()));
        assert!(message.contains("followed by foreign bytes"), "{message}");
    }
}

#[test]
fn damaged_data_names_the_tensor() {
    let mut bytes = encode(&metadata(), &tensors()).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let checkpoint = Checkpoint::from_bytes("x.safetensors", &bytes).unwrap();
    let message = bad_input(checkpoint.verify());
    assert!(message.contains("tensor `a.votes`"), "{message}");
}

#[test]
fn foreign_files_are_told_apart() {
    let theirs = {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::U8, vec![2], &[1, 2]).unwrap();
        safetensors::serialize([("w", view)], None).unwrap()
    };
    let cases: [(&[u8], &str); 9] = [
        (b"", "an empty file"),
        (b"abc", "only 3 bytes"),
        (b"PK\x03\x04\x00\x00\x08\x08archive/data.pkl", "zip archive"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "pickle"),
        (b"GGUF\x03\0\0\0\0\0\0\0\0\0", "a GGUF file"),
        (b"It is a truth universally acknowledged", "no safetensors file"),
        (&[0; 4096], "no safetensors file"),
        (&theirs, "a safetensors file of another program"),
        (&theirs[..20], "cut short inside its header"),
    ];
    for (bytes, part) in cases {
        let message = bad_input(read(bytes));
        assert!(message.starts_with("x.safetensors: "), "{message}");
        assert!(message.contains(part), "{message} should contain {part}");
    }
}

#[test]
fn another_format_version_is_told_apart() {
    let json = br#"{"__metadata__":{"primal.format":"2"}}"#;
    let message = bad_input(read(&file(json, &[])));
    assert!(message.contains(r#"found version "2""#), "{message}");
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(bad_input(Checkpoint::open(folder.path())).contains("a folder"));
    let missing = bad_input(Checkpoint::open(folder.path().join("none")));
    assert!(missing.starts_with("reading "), "{missing}");
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    assert!(bad_input(Checkpoint::open(&empty)).contains("an empty file"));
}

#[test]
fn hostile_headers_are_refused() {
    let tensor = |shape: &str, offsets: &str| {
        format!(r#"{{"__metadata__":{{"primal.format":"1"}},"w":{{"dtype":"U8","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let max = usize::MAX;
    let headers: Vec<Vec<u8>> = [
        tensor("[2]", "[0,2]"),
        tensor("[2]", "[2,0]"),
        tensor("[2]", "[1,3]"),
        tensor("[2]", "[0,99]"),
        tensor("[2]", "[-1,1]"),
        tensor("[2.0]", "[0,2]"),
        tensor("[2]", &format!("[{max},{max}]")),
        tensor(&format!("[{max}]"), &format!("[0,{max}]")),
        tensor(&format!("[{max},{max}]"), "[0,1]"),
        tensor(&format!("[0,{max},{max}]"), "[0,0]"),
        tensor("[99999999999999999999999]", "[0,2]"),
        r#"{"__metadata__":{"primal.format":"1"},"__metadata__":{"primal.format":"1"}}"#.into(),
        r#"{"__metadata__":{"primal.format":"1","primal.format":"1"}}"#.into(),
        r#"{"__metadata__":{"primal.format":1}}"#.into(),
        r#"{"__metadata__":null}"#.into(),
        r#"{"__metadata__":{"primal.format":"1","\ud800":""}}"#.into(),
        r#"{"w":{"dtype":"U9","shape":[2],"data_offsets":[0,2]}}"#.into(),
        r#"{"w":7}"#.into(),
        "{".into(),
        format!("{{\"w\":{}", "[".repeat(100_000)),
        format!("{{\"w\":{}", "{\"a\":".repeat(100_000)),
    ]
    .into_iter()
    .map(String::into_bytes)
    .chain([b"{\"\xff\":1}".to_vec(), b"{\"__metadata__\":{\"primal.format\":\"1\xff\"}}".to_vec()])
    .collect();
    for json in headers {
        assert!(read(&file(&json, &[0; 2])).is_err(), "accepted {}", String::from_utf8_lossy(&json));
    }
}

/// Headers that mean the same as one with right checksums, but are not the bytes that would be written.
#[test]
fn only_the_canonical_header_is_accepted() {
    let bytes = encode(&metadata(), &tensors()).unwrap();
    let start = Checkpoint::from_bytes("x", &bytes).unwrap().header().data_start();
    let json = std::str::from_utf8(&bytes[8..start]).unwrap().trim_end();
    let data = &bytes[start..];
    assert_eq!(file(json.as_bytes(), data), bytes);
    let changes = [
        (r#""step""#, r#""st\u0065p""#),
        (r#""shape":[5]"#, r#""shape":[ 5]"#),
        (r#""step":"12""#, r#""step":"12","step":"12""#),
        (r#""dtype":"I8","shape":[5]"#, r#""shape":[5],"dtype":"I8""#),
        (r#""dtype":"I8""#, r#""extra":0,"dtype":"I8""#),
    ];
    for (from, to) in changes {
        let changed = json.replace(from, to);
        assert_ne!(changed, json, "{from} is not in the header");
        let message = bad_input(read(&file(changed.as_bytes(), data)));
        assert!(message.contains("header"), "{to}: {message}");
    }
    // A newline for a space of the padding, a block of padding more, none at all.
    let mut padding = bytes.clone();
    padding[start - 1] = b'\n';
    let mut longer = ((start - 8 + 64) as u64).to_le_bytes().to_vec();
    longer.extend_from_slice(json.as_bytes());
    longer.resize(start + 64, b' ');
    longer.extend_from_slice(data);
    let mut shorter = (json.len() as u64).to_le_bytes().to_vec();
    shorter.extend_from_slice(json.as_bytes());
    shorter.extend_from_slice(data);
    for changed in [padding, longer, shorter] {
        let message = bad_input(read(&changed));
        assert!(message.contains("does not match its checksum"), "{message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn arbitrary_headers_never_panic(json in r#"\{("__metadata__":\{"primal.format":"1"\},?)?[\[\]{}:,"a-z0-9\\]{0,40}\}"#, data in prop::collection::vec(any::<u8>(), 0..20)) {
        prop_assert!(read(&file(json.as_bytes(), &data)).is_err());
    }

    #[test]
    fn damaged_files_never_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
        let original = encode(&metadata(), &tensors()).unwrap();
        let mut bytes = original.clone();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        prop_assert_eq!(read(&bytes).is_ok(), bytes == original);
        prop_assert!(read(&bytes[..cut.index(bytes.len())]).is_err());
    }
}
