//! The reader of GGUF files on any bytes, on headers that mostly fit, and on the writer's own files: what is read can be written again, and is then the
//! same. Run it with `-rss_limit_mb=1024`: no file of a few kilobytes takes more.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use primal_engine::Error;
use primal_engine::files::checkpoint::TensorRef;
use primal_engine::files::gguf::{Array, Gguf, Value, encode};
use primal_engine::files::{Dtype, TensorFile};

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    /// A file of these bytes.
    File(&'a [u8]),
    /// A header of these entries and tensors, and data.
    Header { counts: Option<[u64; 2]>, entries: Vec<(&'a str, u32, &'a [u8])>, tensors: Vec<(&'a str, Vec<u64>, u8, u16)>, data: u16 },
    /// A file that was written, and the byte to change.
    Written { entries: Vec<(String, Text<'a>)>, tensors: Vec<(String, u8, [u8; 2])>, at: usize, value: u8 },
}

#[derive(Arbitrary, Debug)]
enum Text<'a> {
    One(&'a str),
    Many(Vec<&'a str>),
    Numbers(Vec<i32>),
}

/// The file written again from what was read of it.
fn again(file: &Gguf) -> primal_engine::Result<Vec<u8>> {
    let entries: Vec<_> = file.entries().map(|(key, value)| (key.to_owned(), value)).collect();
    let tensors: Vec<_> = file.tensors().iter().map(|t| TensorRef::new(t.name.clone(), t.dtype, &t.shape, file.bytes(t))).collect();
    encode(&entries, &tensors)
}

/// Opens and uses everything there is, and writes it again; whether it could be opened.
fn read(bytes: &[u8]) -> bool {
    let file = match Gguf::from_bytes("fuzz", bytes) {
        Ok(file) => file,
        Err(error) => {
            assert!(matches!(error, Error::Invalid { .. }), "{error}");
            return false;
        }
    };
    for name in file.names() {
        let view = file.view(name).expect("its own name");
        assert_eq!(view.bytes().expect("its elements").len(), view.byte_len());
        let _ = view.floats().expect("its elements");
    }
    let arrays = file.entries().filter_map(|(_, value)| value.as_array().map(|array| (array.len(), array.iter().count())));
    arrays.for_each(|(len, count)| assert_eq!(len, count));
    let written = again(&file).expect("what was read can be written");
    let read = Gguf::from_bytes("fuzz", &written).expect("what was written can be read");
    assert!(read.tensors().iter().zip(file.tensors()).all(|(a, b)| a.name == b.name && read.bytes(a) == file.bytes(b)));
    assert_eq!(again(&read).expect("again"), written);
    true
}

fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text].concat()
}

fuzz_target!(|input: Input| match input {
    Input::File(bytes) => _ = read(bytes),
    Input::Header { counts, entries, tensors, data } => {
        let [tensor_count, entry_count] = counts.unwrap_or([tensors.len() as u64, entries.len() as u64]);
        let mut bytes = [&b"GGUF\x03\0\0\0"[..], &tensor_count.to_le_bytes(), &entry_count.to_le_bytes()].concat();
        for (key, kind, value) in entries {
            bytes.extend([&string(key.as_bytes())[..], &(kind % 14).to_le_bytes(), value].concat());
        }
        for (name, sizes, kind, offset) in tensors {
            bytes.extend([&string(name.as_bytes())[..], &(sizes.len() as u32).to_le_bytes()].concat());
            sizes.iter().for_each(|size| bytes.extend(size.to_le_bytes()));
            bytes.extend([&u32::from(kind % 40).to_le_bytes()[..], &(u64::from(offset) * 32).to_le_bytes()].concat());
        }
        bytes.resize(bytes.len().next_multiple_of(32) + usize::from(data), 0x5A);
        read(&bytes);
    }
    Input::Written { entries, tensors, at, value } => {
        let value_of = |text| match text {
            Text::One(text) => Value::string(text),
            Text::Many(texts) => Value::Array(Array::of_strings(texts)),
            Text::Numbers(numbers) => Value::Array(Array::of_i32(numbers)),
        };
        let entries: Vec<_> = entries.into_iter().map(|(key, text)| (key, value_of(text))).collect();
        let of = |(name, dtype, [rows, blocks]): (String, u8, [u8; 2])| {
            let dtype = Dtype::ALL[usize::from(dtype) % Dtype::ALL.len()];
            let shape = vec![usize::from(rows), usize::from(blocks) * dtype.block().0];
            let len = dtype.tensor_len(&shape).expect("whole blocks");
            (name, dtype, shape, vec![value; len])
        };
        let tensors: Vec<_> = tensors.into_iter().map(of).collect();
        let refs: Vec<_> = tensors.iter().map(|(name, dtype, shape, bytes)| TensorRef::new(name, *dtype, shape, bytes)).collect();
        let Ok(mut bytes) = encode(&entries, &refs) else { return };
        assert!(read(&bytes), "its own file");
        let at = at % bytes.len();
        bytes[at] = value;
        read(&bytes);
    }
});
