//! Tests of the checkpoint format, by what can go wrong.

mod damage;
mod failures;
mod retention;
mod round_trip;

use std::collections::BTreeMap;
use std::path::Path;

use super::{Dtype, TensorRef};

/// Metadata with what JSON has to escape.
fn metadata() -> BTreeMap<String, String> {
    let pairs = [("config", "name = \"gpt\"\n\tlr = 1e-3 # ü\u{1}"), ("step", "12")];
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// One tensor of each type in use, an odd number of bytes, a scalar and an empty one; 0.7 KB of header and less than 100 bytes of data.
fn tensors() -> Vec<TensorRef<'static>> {
    const F32: &[f32] = &[1.0, -0.0, f32::NAN, f32::INFINITY, 1e-45, 3.5];
    const I8: &[i8] = &[-128, -1, 0, 1, 127];
    const U32: &[u32] = &[0, 1, u32::MAX];
    vec![
        TensorRef::i8("a.votes", &[5], I8),
        TensorRef::u8("a.codes", &[3, 1], &[0x88, 0x12, 0xfe]),
        TensorRef::f32("a.scale", &[2, 3], F32),
        TensorRef::u32("rng", &[3], U32),
        TensorRef::new("t", Dtype::U64, &[], &[1, 2, 3, 4, 5, 6, 7, 8]),
        TensorRef::f32("none", &[4, 0], &[]),
    ]
}

/// What is in a folder, sorted.
fn contents(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The message of an error that has to be bad input.
#[track_caller]
fn bad_input<T>(result: crate::Result<T>) -> String {
    match result {
        Ok(_) => panic!("expected bad input, found success"),
        Err(error) => {
            assert!(matches!(error, crate::Error::Invalid { .. } | crate::Error::Io { action: "reading", .. }), "{error}");
            error.to_string()
        }
    }
}
