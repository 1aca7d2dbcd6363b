use super::*;
use crate::files::checkpoint::{TensorRef, TensorSource};
use crate::files::dtype::Dtype;
use crate::files::{TensorFile, from_bytes, open};
use crate::{Error, Result};

/// Every kind of value, and arrays of those that models have.
fn metadata() -> Vec<(String, Value<'static>)> {
    let nested = Array::of_strings(["a", ""]);
    [
        ("general.architecture", Value::string("llama")),
        ("general.name", Value::string("Zwölf – 十二")),
        ("llama.context_length", Value::U32(2048)),
        ("a.u8", Value::U8(u8::MAX)),
        ("a.i8", Value::I8(i8::MIN)),
        ("a.u16", Value::U16(u16::MAX)),
        ("a.i16", Value::I16(i16::MIN)),
        ("a.i32", Value::I32(i32::MIN)),
        ("a.u64", Value::U64(u64::MAX)),
        ("a.i64", Value::I64(i64::MIN)),
        ("a.f32", Value::F32(1e-5)),
        ("a.f64", Value::F64(-0.1)),
        ("a.true", Value::Bool(true)),
        ("a.empty", Value::Array(Array::of_strings([""; 0]))),
        ("tokenizer.ggml.tokens", Value::Array(nested)),
        ("tokenizer.ggml.token_type", Value::Array(Array::of_i32([1, -3]))),
        ("tokenizer.ggml.scores", Value::Array(Array::of_f32([0.5, -1.0]))),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Bytes that differ from one tensor to the next.
fn data(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + seed * 57) as u8).collect()
}

/// A tensor of each type that has a number, with rows of two blocks, and a scalar; not in the order of their names.
fn tensors() -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)> {
    let supported = Dtype::ALL.iter().rev().filter(|&&dtype| types::number_of(dtype).is_some());
    let matrices = supported.enumerate().map(|(seed, &dtype)| {
        let shape = vec![3, 2 * dtype.block().0];
        (format!("blk.{seed}.{dtype}"), dtype, shape.clone(), data(dtype.tensor_len(&shape).expect("whole blocks"), seed))
    });
    matrices.chain([("scalar".into(), Dtype::F32, vec![], data(4, 0))]).collect()
}

fn refs(tensors: &[(String, Dtype, Vec<usize>, Vec<u8>)]) -> Vec<TensorRef<'_>> {
    tensors.iter().map(|(name, dtype, shape, bytes)| TensorRef::new(name, *dtype, shape, bytes)).collect()
}

/// The file written again from what was read of it.
fn again(file: &Gguf) -> Vec<u8> {
    let metadata: Vec<_> = file.entries().map(|(key, value)| (key.to_owned(), value)).collect();
    let tensor = |tensor: &Tensor| TensorRef::new(tensor.name.clone(), tensor.dtype, &tensor.shape, file.bytes(tensor));
    let tensors: Vec<_> = file.tensors().iter().map(tensor).collect();
    encode(&metadata, &tensors).expect("what was read can be written")
}

#[test]
fn what_is_written_is_read_and_written_again_as_it_was() {
    for alignment in [None, Some(1), Some(64), Some(1 << 16)] {
        let mut metadata = metadata();
        metadata.extend(alignment.map(|alignment| ("general.alignment".into(), Value::U32(alignment))));
        let tensors = tensors();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        save(&path, &metadata, &refs(&tensors)).unwrap();
        let file = Gguf::open(&path).unwrap();
        assert_eq!((file.version(), file.alignment()), (3, alignment.unwrap_or(32) as usize));
        assert!(file.entries().eq(metadata.iter().map(|(key, value)| (key.as_str(), value.clone()))));
        assert!(file.tensors().iter().map(|tensor| &tensor.name).eq(tensors.iter().map(|(name, ..)| name)));
        for (name, dtype, shape, bytes) in &tensors {
            let view = file.view(name).unwrap();
            assert_eq!((view.dtype, view.shape, &*view.bytes().unwrap()), (*dtype, &shape[..], &bytes[..]), "{name}");
            assert_eq!((view.byte_len(), view.mapping().unwrap().1.start % file.alignment()), (bytes.len(), 0), "{name}");
            let floats = view.floats().unwrap();
            assert_eq!(floats.map(|floats| floats.len()), crate::files::dequantize::dequantizer(*dtype).map(|_| view.len()), "{name}");
        }
        assert_eq!(again(&file), std::fs::read(&path).unwrap());
        assert!(open(&path).unwrap().kind() == FORMAT.name && file.file_len().is_multiple_of(file.alignment()));
    }
}

#[test]
fn metadata_are_text_for_who_knows_nothing_of_the_format() {
    let long = [65_536, 65_537].map(|len| (format!("a.{len}"), Value::string("l".repeat(len))));
    let bytes = encode(&[metadata(), long.into()].concat(), &[]).unwrap();
    let file = from_bytes("x", &bytes).unwrap();
    let text = |key: &str| file.meta(key).unwrap().to_owned();
    assert_eq!((text("general.architecture"), text("llama.context_length"), text("a.f64")), ("llama".into(), "2048".into(), "-0.1".into()));
    assert_eq!((text("tokenizer.ggml.tokens"), text("a.empty")), ("[string; 2]".into(), "[string; 0]".into()));
    assert_eq!((text("a.65536").len(), &*text("a.65537")), (65_536, "[string of 65537 bytes]"));
    assert_eq!(file.parse_meta::<f32>("a.f32").unwrap(), 1e-5);
    assert!(file.names().next().is_none());
}

#[test]
fn a_file_of_as_many_tensors_as_a_brace_is_no_safetensors_file() {
    let tensors: Vec<_> = (0..u64::from(b'{')).map(|i| (i.to_string(), Dtype::I8, vec![1], vec![i as u8])).collect();
    let bytes = encode(&[("primal.format".into(), Value::string("1"))], &refs(&tensors)).unwrap();
    assert_eq!(from_bytes("x", &bytes).unwrap().kind(), FORMAT.name);
}

#[test]
fn version_2_is_read() {
    let mut bytes = encode(&metadata(), &refs(&tensors())).unwrap();
    bytes[4] = 2;
    assert!(from_bytes("x", &bytes).unwrap().names().count() == tensors().len());
}

#[test]
fn metadata_that_are_missing_or_of_another_type_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    save(&path, &metadata(), &[]).unwrap();
    let file = Gguf::open(&path).unwrap();
    let tokens = file.array("tokenizer.ggml.tokens").unwrap();
    assert_eq!((tokens.kind(), tokens.len(), tokens.is_empty()), (Kind::String, 2, false));
    assert!(tokens.strings().unwrap().eq(["a", ""]) && tokens.iter().next().unwrap().as_str() == Some("a"));
    assert_eq!(file.array("tokenizer.ggml.scores").unwrap().iter().filter_map(|score| score.as_f64()).sum::<f64>(), -0.5);
    assert_eq!((file.architecture().unwrap(), file.of_architecture("context_length")), ("llama", Some(Value::U32(2048))));
    assert_eq!(file.value("a.i8").unwrap().as_u64(), None);
    for (key, part) in [("general.name", "type string"), ("none", "found none")] {
        let message = file.array(key).expect_err("no array").to_string();
        assert!(message.contains(key) && message.contains(part), "{message}");
    }
}

#[test]
fn what_would_not_be_read_is_not_written() {
    let key = |key: &str, value| vec![(key.to_owned(), value)];
    let tensor = |name: &str, dtype, shape: &[usize]| vec![(name.to_owned(), dtype, shape.to_vec(), vec![0; 64])];
    let long = "n".repeat(64);
    let cases = [
        (key("general.alignment", Value::U32(24)), vec![], "power of two"),
        (key("general.alignment", Value::U64(32)), vec![], "u64"),
        (key("", Value::U8(0)), vec![], "key of 0 bytes"),
        ([key("k", Value::U8(0)), key("k", Value::U8(1))].concat(), vec![], "`k` twice"),
        (key("general.alignment", Value::U32(1 << 17)), vec![], "up to 65536"),
        (vec![], tensor(&long, Dtype::F32, &[16]), "name of 64 bytes"),
        (vec![], tensor("", Dtype::F32, &[16]), "name of 0 bytes"),
        (vec![], [tensor("a", Dtype::F32, &[16]), tensor("a", Dtype::F32, &[16])].concat(), "`a` twice"),
        (vec![], tensor("a", Dtype::F32, &[16, 0]), "cannot be"),
        (vec![], tensor("a", Dtype::F32, &[1, 1, 1, 1, 16]), "5 dimensions"),
        (vec![], tensor("a", Dtype::Q4_0, &[32, 16]), "whole blocks"),
        (vec![], tensor("a", Dtype::U8, &[64]), "of type U8"),
        (vec![], tensor("a", Dtype::F32, &[17]), "64 bytes"),
        (vec![], tensor("a", Dtype::F32, &[15]), "64 bytes"),
        (vec![], tensor("a", Dtype::F32, &[usize::MAX / 8]), "address space"),
        (vec![], tensor("a", Dtype::F32, &[usize::MAX / 2]), "fit in memory"),
    ];
    for (metadata, tensors, part) in cases {
        let folder = tempfile::tempdir().unwrap();
        let error = save(&folder.path().join("model"), &metadata, &refs(&tensors)).expect_err(part);
        assert!(matches!(&error, Error::Invalid { .. }) && error.to_string().contains(part), "{part:?} in: {error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{part}: nothing is left");
    }
}

#[test]
fn tensors_are_streamed() {
    struct Halves(Vec<u8>);

    impl TensorSource for Halves {
        fn for_each_chunk(&self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
            self.0.chunks(9).try_for_each(sink)
        }
    }

    let source = Halves(data(36, 1));
    let streamed = encode(&[], &[TensorRef::streamed("w", Dtype::Q4_0, &[2, 32], &source)]).unwrap();
    assert_eq!(streamed, encode(&[], &[TensorRef::new("w", Dtype::Q4_0, &[2, 32], &source.0)]).unwrap());
}
