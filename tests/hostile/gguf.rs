//! GGUF files that lie, and those that `info` opens.

use primal_engine::files::checkpoint::{Dtype, TensorRef};
use primal_engine::files::gguf::{Array, Value, encode};
use primal_engine::files::{from_bytes, gguf};

use crate::terminal::{NAME, require_harmless};
use crate::{Place, text};

/// Types of values in the file.
const U32: u32 = 4;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Types of tensors in the file.
const F32: u32 = 0;
const Q4_0: u32 = 2;
const IQ2_XS: u32 = 17;

/// A header with these counts, whatever comes after it, and 64 bytes of data from the next multiple of 32 on.
fn claiming(tensors: u64, metadata: u64, rest: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = [&b"GGUF\x03\0\0\0"[..], &tensors.to_le_bytes(), &metadata.to_le_bytes(), &rest.concat()].concat();
    bytes.resize(bytes.len().next_multiple_of(32) + 64, 7);
    bytes
}

fn file(metadata: &[Vec<u8>], tensors: &[Vec<u8>]) -> Vec<u8> {
    claiming(tensors.len() as u64, metadata.len() as u64, &[metadata, tensors].concat())
}

fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text].concat()
}

/// A key and the bytes of its value.
fn entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&string(key.as_bytes())[..], &kind.to_le_bytes(), value].concat()
}

/// The beginning of an array.
fn array(kind: u32, len: u64) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &len.to_le_bytes()].concat()
}

fn tensor(name: &str, sizes: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let sizes_len = (sizes.len() as u32).to_le_bytes();
    let sizes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
    [&string(name.as_bytes())[..], &sizes_len, &sizes, &kind.to_le_bytes(), &offset.to_le_bytes()].concat()
}

/// Arrays in arrays, each of one.
fn deep(depth: usize) -> Vec<u8> {
    [array(ARRAY, 1).repeat(depth), array(U32, 0)].concat()
}

/// What is wrong, the file, and a part of the message.
fn lies() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let vast = 1u64 << 63;
    let alignment = |kind, value: &[u8]| file(&[entry("general.alignment", kind, value)], &[tensor("w", &[8], F32, 0)]);
    let one = |sizes: &[u64], kind, offset| file(&[], &[tensor("w", sizes, kind, offset)]);
    let one_named = |name: &str| file(&[], &[tensor(name, &[8], F32, 0)]);
    let value = |kind, value: &[u8]| file(&[entry("k", kind, value)], &[]);
    let mut old = file(&[], &[]);
    let mut foreign = old.clone();
    let mut later = old.clone();
    old[4] = 1;
    foreign[4..8].copy_from_slice(&3u32.to_be_bytes());
    later[4] = 4;
    vec![
        ("version 1", old, "version 1,"),
        ("numbers of the other order", foreign, "big-endian"),
        ("a later version", later, "version 4"),
        ("2^63 tensors", claiming(vast, 0, &[]), "9223372036854775808 tensors"),
        ("2^20 + 1 tensors", claiming((1 << 20) + 1, 0, &[]), "1048577 tensors, where 1048576 are allowed"),
        ("2^16 + 1 metadata", claiming(0, (1 << 16) + 1, &[]), "65537 metadata, where 65536 are allowed"),
        ("more tensors than fit", claiming(4, 0, &[]), "4 tensors"),
        ("2^63 metadata", claiming(0, vast, &[]), "9223372036854775808 metadata"),
        ("a key of 2^63 bytes", claiming(0, 1, &[vast.to_le_bytes().into()]), "bytes of a string"),
        ("a value longer than the file", value(STRING, &1000u64.to_le_bytes()), "1000 bytes of a string"),
        ("a string that is no text", value(STRING, &string(b"\xFF\xFE")), "not UTF-8"),
        ("a key that is no text", claiming(0, 1, &[string(b"\xFF"), vec![0; 32]]), "not UTF-8"),
        ("an empty key", file(&[entry("", U32, &[0; 4])], &[]), "key of 0 bytes"),
        ("a key of 65536 bytes", file(&[entry(&"k".repeat(65536), U32, &[0; 4])], &[]), "key of 65536 bytes"),
        ("one key twice", file(&[entry("k", U32, &[0; 4]), entry("k", U32, &[0; 4])], &[]), "`k` twice"),
        ("a value of type 13", value(13, &[0; 8]), "type 13"),
        ("a boolean of 2", value(BOOL, &[2]), "boolean of value 2"),
        ("an array of 2^63 numbers", value(ARRAY, &array(U32, vast)), "values of an array"),
        ("an array of 2^61 numbers, whose bytes overflow", value(ARRAY, &array(10, 1 << 61)), "values of an array"),
        ("an array of 2^63 strings", value(ARRAY, &array(STRING, vast)), "values of an array"),
        ("an array of type 99", value(ARRAY, &array(99, 1)), "type 99"),
        ("arrays five deep", value(ARRAY, &deep(4)), "more than 4 deep"),
        ("arrays a hundred thousand deep", value(ARRAY, &deep(100_000)), "more than 4 deep"),
        ("an alignment of 0", alignment(U32, &[0; 4]), "power of two"),
        ("an alignment of 24", alignment(U32, &24u32.to_le_bytes()), "power of two"),
        ("an alignment in words", alignment(STRING, &string(b"32")), "power of two"),
        ("an alignment of 2^17", alignment(U32, &(1u32 << 17).to_le_bytes()), "power of two up to 65536"),
        ("an alignment beyond the file", alignment(U32, &(1u32 << 16).to_le_bytes()), "aligned to 65536"),
        ("a tensor without a name", one_named(""), "name of 0 bytes"),
        ("a tensor name of 64 bytes", one_named(&"w".repeat(64)), "name of 64 bytes"),
        ("five dimensions", one(&[1; 5], F32, 0), "5 dimensions"),
        ("2^32 - 1 dimensions", claiming(1, 0, &[string(b"w"), vec![0xFF; 4]]), "4294967295 dimensions"),
        ("a dimension of 0", one(&[0, 8], F32, 0), "cannot be"),
        ("sizes whose product overflows", one(&[1 << 32, 1 << 32], F32, 0), "cannot be"),
        ("sizes whose product overflows to nothing", one(&[1 << 31, 1 << 31, 4], F32, 0), "cannot be"),
        ("bytes that overflow", one(&[1 << 62], F32, 0), "cannot be"),
        ("half a block in a row", one(&[16, 2], Q4_0, 0), "cannot be"),
        ("a type that is not read", one(&[256], IQ2_XS, 0), "`w` of type IQ2_XS"),
        ("a type that nobody knows", one(&[8], 1000, 0), "`w` of type number 1000"),
        ("data beyond the end", one(&[17], F32, 0), "in a file of"),
        ("an offset beyond the end", one(&[8], F32, 64), "in a file of"),
        ("an offset that overflows", one(&[8], F32, u64::MAX - 31), "in a file of"),
        ("an offset between multiples", one(&[8], F32, 4), "aligned to 32"),
        ("one tensor twice", file(&[], &[tensor("w", &[8], F32, 0), tensor("w", &[8], F32, 32)]), "`w` twice"),
        // What comes after the second is not reached.
        ("one tensor twice, of many", claiming(3, 0, &[tensor("w", &[8], F32, 0).repeat(2), vec![0xFF; 64]]), "`w` twice"),
        ("tensors one over the other", file(&[], &[tensor("a", &[8], F32, 32), tensor("b", &[9], F32, 0)]), "`b` and `a` one over"),
    ]
}

#[test]
fn gguf_files_that_lie_are_refused() {
    let place = Place::new();
    for (what, bytes, part) in lies() {
        place.write("model.gguf", bytes);
        let message = place.refused(&["info", "model.gguf"]);
        assert!(message.contains("model.gguf") && message.contains(part), "{what}: {message}");
    }
    // What the lies differ from.
    place.write("model.gguf", file(&[entry("k", ARRAY, &deep(3))], &[tensor("a", &[8], F32, 32), tensor("b", &[8], F32, 0)]));
    let said = place.succeeds(&["info", "model.gguf"]);
    assert!(["k = [array; 1]", "32  F32 [8]  a", "32  F32 [8]  b"].iter().all(|part| said.contains(part)), "{said}");
}

#[test]
fn no_header_beyond_the_limit_is_read() {
    let place = Place::new();
    let limit = 1u64 << 27;
    for (what, metadata) in [("a value", entry("k", STRING, &limit.to_le_bytes())), ("a key", limit.to_le_bytes().into())] {
        let path = place.write("model.gguf", claiming(0, 1, &[metadata]));
        // Sparse: nothing of it takes room on the disk.
        let file = std::fs::OpenOptions::new().write(true).open(path).expect("the file");
        file.set_len(limit + 4096).expect("a sparse file");
        let message = place.refused(&["info", "model.gguf"]);
        assert!(message.contains("model.gguf") && message.contains("a header of at most 134217728 bytes"), "{what}: {message}");
    }
}

/// A small model of what real ones have.
fn small() -> Vec<u8> {
    let metadata = [
        ("general.architecture", Value::string("llama")),
        ("general.name", Value::string("Tiny")),
        ("general.license", Value::string("apache-2.0")),
        ("llama.context_length", Value::U32(64)),
        ("tokenizer.ggml.model", Value::string("gpt2")),
        ("tokenizer.ggml.pre", Value::string("smollm")),
        ("tokenizer.ggml.tokens", Value::Array(Array::of_strings(["a", "b", "ab"]))),
    ]
    .map(|(key, value)| (key.to_owned(), value));
    let weights = [0; 2 * 20];
    let tensors = [TensorRef::new("w", Dtype::Q4_1, &[2, 32], &weights), TensorRef::f32("norm", &[2], &[1.0, 2.0])];
    encode(&metadata, &tensors).expect("a model")
}

#[test]
fn gguf_files_that_are_cut_short_are_refused_at_every_byte() {
    let whole = small();
    let end = whole.len() - 32 + 8;
    for len in 0..whole.len() {
        match from_bytes("x", &whole[..len]) {
            // Only padding is gone.
            Ok(file) => assert!(len >= end && file.names().count() == 2, "{len} of {} bytes", whole.len()),
            Err(error) => assert!(len < end && error.to_string().starts_with("x: "), "{len} of {} bytes: {error}", whole.len()),
        }
    }
}

#[test]
fn one_changed_byte_of_a_gguf_file_ends_in_no_panic() {
    let whole = small();
    for at in 0..whole.len() {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            let Ok(file) = from_bytes("x", &bytes) else { continue };
            for name in file.names() {
                let view = file.view(name).expect("its own name");
                assert_eq!(view.bytes().expect("its elements").len(), view.byte_len());
                let _ = view.floats().expect("its elements");
            }
        }
    }
}

#[test]
fn info_tells_of_a_model() {
    let place = Place::new();
    place.write("model", small());
    let said = place.succeeds(&["info", "model"]);
    for part in [
        "a GGUF file; it has no checksums",
        "architecture: llama; name: Tiny; licence: apache-2.0; context: 64",
        "tokenizer: gpt2, text cut as by: smollm, tokens: 3",
        "tokenizer.ggml.tokens = [string; 3]",
        "40  Q4_1 [2, 32]  w",
        "2 tensors of 66 values in 48 bytes",
    ] {
        assert!(said.contains(part), "{part:?} in: {said}");
    }
    let output = place.run(&["info", "model", "--json"]);
    let object: serde_json::Value = serde_json::from_str(&text(&output.stdout)).expect("JSON");
    assert_eq!((&object["kind"], &object["checksums"]), (&gguf::FORMAT.name.into(), &false.into()));
    let (model, tensors) = (&object["model"], &object["tensors"]);
    assert_eq!((&model["architecture"], &model["license"], &model["context_length"]), (&"llama".into(), &"apache-2.0".into(), &64.into()));
    assert_eq!((&model["vocab_size"], &model["pre_tokenizer"]), (&3.into(), &"smollm".into()));
    assert_eq!(tensors[1], serde_json::json!({"name": "w", "type": "Q4_1", "shape": [2, 32], "bytes": 40}));

    let long = "n".repeat(9_999);
    let entries = [("general.name".to_owned(), Value::string(&*long)), (long.clone(), Value::U8(0))];
    place.write("long", encode(&entries, &[]).expect("a model"));
    let said = place.succeeds(&["info", "long"]);
    assert!(said.matches("(9999 bytes)").count() == 3 && !said.contains(&long[..201]), "{said}");

    let name = [("general.name".to_owned(), Value::string(NAME)), (NAME.to_owned(), Value::string(NAME))];
    place.write("named", encode(&name, &[TensorRef::f32(NAME, &[1], &[1.0])]).expect("a model"));
    require_harmless("info", &place.succeeds(&["info", "named"]));
    require_harmless("info --json", &place.succeeds(&["info", "named", "--json"]));
}
