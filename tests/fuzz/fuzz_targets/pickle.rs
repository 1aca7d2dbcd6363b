//! The reader of PyTorch checkpoints on any bytes, on both of its containers with any pickle, and on pickles of opcodes that fit. Run it with
//! `-rss_limit_mb=1024`: no file of a few kilobytes takes more.
#![no_main]

use std::cell::RefCell;
use std::io::{Seek, Write};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use primal_engine::Error;
use primal_engine::files;
use primal_engine::models::hifigan::generator;
use tempfile::NamedTempFile;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    /// A file of these bytes.
    File(&'a [u8]),
    /// A zip archive with this pickle.
    Zip(Pickle<'a>),
    /// The older container.
    Legacy(Pickle<'a>),
}

#[derive(Arbitrary, Debug)]
enum Pickle<'a> {
    Bytes(&'a [u8]),
    /// A dictionary of tensors, and opcodes after it.
    Tensors(Vec<(u8, Vec<u32>, Vec<u32>, u32)>, Vec<Opcode<'a>>),
    Opcodes(Vec<Opcode<'a>>),
}

#[derive(Arbitrary, Debug)]
enum Opcode<'a> {
    /// One without an argument.
    Plain(u8),
    Text(&'a str),
    Number(u32),
    Get(u8),
    Put(u8),
    Global(u8),
    /// The one before, so many times.
    Repeat(u16),
}

const PLAIN: &[u8] = b"()]}Ntld\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x94aesu012RbQ\x81\x92.";
const GLOBALS: [&str; 6] = [
    "ctorch._utils\n_rebuild_tensor_v2\n",
    "ctorch._utils\n_rebuild_parameter\n",
    "ctorch\nFloatStorage\n",
    "ccollections\nOrderedDict\n",
    "ctorch._tensor\n_rebuild_from_type_v2\n",
    "cnumpy\nndarray\n",
];
const NAMES: [&str; 6] =
    ["conv_pre.weight", "conv_pre.weight_g", "conv_pre.weight_v", "conv_pre.bias", "module.ups.0.conv.weight", "generator"];

fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn numbers(values: &[u32]) -> Vec<u8> {
    let values = values.iter().flat_map(|value| [&b"J"[..], &value.to_le_bytes()].concat());
    b"(".iter().copied().chain(values).chain(*b"t").collect()
}

fn encoded(pickle: &Pickle) -> Vec<u8> {
    let mut bytes = b"\x80\x02".to_vec();
    let opcodes = match pickle {
        Pickle::Bytes(bytes) => return bytes.to_vec(),
        Pickle::Opcodes(opcodes) => opcodes,
        Pickle::Tensors(tensors, opcodes) => {
            bytes.extend(b"}(");
            for (name, shape, stride, offset) in tensors {
                bytes.extend(text(NAMES[usize::from(*name) % NAMES.len()]));
                bytes.extend(
                    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuKdtQJ",
                );
                bytes.extend(offset.to_le_bytes());
                bytes.extend([numbers(shape), numbers(stride), b"\x89ccollections\nOrderedDict\n)RtR".to_vec()].concat());
            }
            bytes.push(b'u');
            opcodes
        }
    };
    let mut last = Vec::new();
    for opcode in opcodes {
        let next = match opcode {
            Opcode::Plain(index) => vec![PLAIN[usize::from(*index) % PLAIN.len()]],
            Opcode::Text(content) => text(content),
            Opcode::Number(value) => [&b"J"[..], &value.to_le_bytes()].concat(),
            Opcode::Get(index) => vec![b'h', *index],
            Opcode::Put(index) => vec![b'q', *index],
            Opcode::Global(index) => GLOBALS[usize::from(*index) % GLOBALS.len()].into(),
            Opcode::Repeat(times) => last.repeat(usize::from(*times)),
        };
        bytes.extend_from_slice(&next);
        if !matches!(opcode, Opcode::Repeat(_)) {
            last = next;
        }
    }
    bytes.push(b'.');
    bytes
}

/// A zip archive of entries that are not compressed, without checksums (APPNOTE.TXT 6.3.10).
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let len = (content.len() as u32).to_le_bytes();
        // Version, flags, method, time, date, checksum, both sizes, lengths of the name and of what is extra.
        let fields = [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &len, &len, &(name.len() as u16).to_le_bytes(), &[0, 0]].concat();
        let place = (bytes.len() as u32).to_le_bytes();
        bytes.extend([&b"PK\x03\x04"[..], &fields, name.as_bytes(), content].concat());
        directory.extend([&b"PK\x01\x02\x14\0"[..], &fields, &[0; 10], &place, name.as_bytes()].concat());
    }
    let [count, size, start] = [entries.len(), directory.len(), bytes.len()].map(|value| (value as u32).to_le_bytes());
    bytes.extend(directory);
    bytes.extend([&b"PK\x05\x06\0\0\0\0"[..], &count[..2], &count[..2], &size, &start, &[0, 0]].concat());
    bytes
}

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new_in("/dev/shm").or_else(|_| NamedTempFile::new()).expect("a file"));
}

fuzz_target!(|input: Input| {
    let storage = [0; 400];
    let bytes = match &input {
        Input::File(bytes) => bytes.to_vec(),
        Input::Zip(pickle) => archive(&[("archive/data.pkl", &encoded(pickle)), ("archive/data/0", &storage), ("archive/version", b"3\n")]),
        Input::Legacy(pickle) => [
            &b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s."[..],
            &encoded(pickle),
            b"\x80\x02](X\x01\0\0\x000e.",
            &100u64.to_le_bytes(),
            &storage,
        ]
        .concat(),
    };
    FILE.with_borrow_mut(|file| {
        file.rewind().and_then(|()| file.as_file().set_len(0)).and_then(|()| file.write_all(&bytes)).expect("a file");
        if let Ok(file) = files::open(file.path()) {
            let read = |name| file.view(name).map(|view| (view.byte_len(), view.bytes()));
            file.names().for_each(|name| drop(read(name)));
        }
        match generator::open(file.path(), None) {
            Ok(generator) => {
                let values: usize = generator.shapes().map(|(_, shape)| shape.iter().product::<usize>()).sum();
                assert!(2 * values <= bytes.len(), "{values} values in {} bytes", bytes.len());
                drop(generator.values());
            }
            Err(error) => assert!(matches!(error, Error::Invalid { .. }), "{error}"),
        }
    });
});
