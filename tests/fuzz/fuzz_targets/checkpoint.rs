//! The reader on any bytes, and on the writer's own files with any content, whole and with one bit flipped.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use primal_engine::files;
use primal_engine::files::checkpoint::{Checkpoint, TensorRef, encode};

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    /// A file of these bytes.
    File(&'a [u8]),
    /// A header padded as it should be, and data.
    Header(&'a str, &'a [u8]),
    /// A saved checkpoint, and the bit to flip.
    Saved { metadata: BTreeMap<String, String>, tensors: BTreeMap<String, Vec<u8>>, bit: usize },
}

/// Reads all of a file of any format.
fn read_any(bytes: &[u8]) {
    let Ok(file) = files::from_bytes("fuzz", bytes) else { return };
    for name in file.names() {
        let view = file.view(name).expect("its own name");
        assert_eq!(view.bytes().expect("its elements").len(), view.byte_len());
    }
}

/// Opens, verifies and uses everything there is; whether that worked.
fn read(bytes: &[u8]) -> bool {
    read_any(bytes);
    let Ok(checkpoint) = Checkpoint::from_bytes("fuzz", bytes) else { return false };
    for name in checkpoint.names() {
        let view = checkpoint.tensor(name).expect("its own name");
        assert_eq!(&checkpoint.mapping()[view.range], view.bytes);
        let _ = checkpoint.f32(name, view.shape);
        let _ = checkpoint.u8(name, view.shape);
        let _ = checkpoint.i8(name, view.shape);
        let _ = checkpoint.u32(name, view.shape);
    }
    let _ = checkpoint.parse_meta::<u64>("step");
    checkpoint.verify().is_ok()
}

fuzz_target!(|input: Input| match input {
    Input::File(bytes) => _ = read(bytes),
    Input::Header(json, data) => {
        let start = (8 + json.len()).next_multiple_of(64);
        let mut bytes = (start as u64 - 8).to_le_bytes().to_vec();
        bytes.extend_from_slice(json.as_bytes());
        bytes.resize(start, b' ');
        bytes.extend_from_slice(data);
        read(&bytes);
    }
    Input::Saved { metadata, tensors, bit } => {
        let refs: Vec<TensorRef> = tensors.iter().map(|(name, data)| TensorRef::u8(name, &[data.len()], data)).collect();
        let reserved = metadata.keys().any(|key| key.starts_with("primal.")) || tensors.contains_key("__metadata__");
        let Ok(mut bytes) = encode(&metadata, &refs) else {
            assert!(reserved, "refused {metadata:?} {tensors:?}");
            return;
        };
        let checkpoint = Checkpoint::from_bytes("fuzz", &bytes).expect("its own file");
        assert_eq!(checkpoint.metadata(), &metadata);
        assert_eq!(checkpoint.names().collect::<BTreeSet<_>>(), tensors.keys().map(String::as_str).collect());
        assert!(tensors.iter().all(|(name, data)| checkpoint.u8(name, &[data.len()]).is_ok_and(|read| read == data)));
        assert!(read(&bytes));
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!read(&bytes), "bit {bit} went unnoticed");
    }
});
