//! PyTorch checkpoints that take more memory than they have bytes.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::Place;

/// A zip archive as `torch.save` writes it.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer
            .start_file(format!("archive/{name}"), SimpleFileOptions::default().compression_method(CompressionMethod::Stored))
            .expect("an entry");
        writer.write_all(bytes).expect("an entry");
    }
    writer.finish().expect("an archive").into_inner()
}

/// A text in protocol 2.
fn unicode(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn numbers(values: &[u32]) -> Vec<u8> {
    [b"(".to_vec(), values.iter().flat_map(|value| [&b"J"[..], &value.to_le_bytes()].concat()).collect(), b"t".to_vec()].concat()
}

/// A tensor of floats, of the storage `0` with 100 of them.
fn tensor(shape: &[u32], stride: &[u32]) -> Vec<u8> {
    let storage = [&b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuKdtQ"[..]].concat();
    [
        &b"ctorch._utils\n_rebuild_tensor_v2\n("[..],
        &storage,
        b"K\0",
        &numbers(shape),
        &numbers(stride),
        b"\x89ccollections\nOrderedDict\n)RtR",
    ]
    .concat()
}

/// A dictionary `generator` of these tensors.
fn generator(tensors: &[(&str, Vec<u8>)]) -> Vec<u8> {
    generator_under("generator", tensors)
}

/// The same under another key.
pub fn generator_under(key: &str, tensors: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<u8> = tensors.iter().flat_map(|(name, tensor)| [unicode(name), tensor.clone()].concat()).collect();
    let pickle = [&b"\x80\x02}"[..], &unicode(key), b"}(", &items, b"us."].concat();
    archive(&[("data.pkl", &pickle), ("data/0", &[0; 400]), ("version", b"3\n")])
}

fn refused(name: &str, bytes: &[u8], more: &[&str]) -> String {
    let place = Place::new();
    place.write("model.pt", bytes);
    more.iter().filter(|name| name.ends_with(".json")).for_each(|name| drop(place.write(name, LARGE)));
    let message = place.refused(&[&["import", "hifigan", "model.pt", "--out", "out.safetensors"], more].concat());
    assert!(message.contains("model.pt") && !place.path("out.safetensors").exists(), "{name}: {message}");
    message
}

/// A generator one of whose weights has 9.9 GB.
const LARGE: &str = r#"{"resblock": "2", "upsample_rates": [256], "upsample_kernel_sizes": [256], "upsample_initial_channel": 16384,
    "resblock_kernel_sizes": [37], "resblock_dilation_sizes": [[1]]}"#;

#[test]
fn clause_12_a_tar_that_claims_more_than_it_has_is_refused() {
    // A GNU sparse entry: a header of 512 bytes, whose real size is 200 GB and of which nothing is stored.
    let mut header = [0u8; 512];
    header[..8].copy_from_slice(b"storages");
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(b"00000000000\0");
    header[136..148].copy_from_slice(b"00000000000\0");
    header[156] = b'S';
    header[257..265].copy_from_slice(b"ustar  \0");
    let size = [&[0x80, 0, 0, 0][..], &200_000_000_000u64.to_be_bytes()].concat();
    header[386..398].copy_from_slice(&size);
    header[398..410].copy_from_slice(b"00000000000\0");
    header[483..495].copy_from_slice(&size);
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let message = refused("a sparse tar", &[&header[..], &[0; 1024]].concat(), &[]);
    assert!(message.contains("a tar archive"), "{message}");
}

#[test]
fn clause_12_a_pickle_that_unfolds_is_refused() {
    let repeated =
        |first: Vec<u8>, copies: usize| [b"\x80\x02".to_vec(), first, b"q\0".to_vec(), b"h\0".repeat(copies), b"}.".to_vec()].concat();
    let shape: Vec<u32> = vec![1; 20_000];
    let key = unicode(&"k".repeat(60_000));
    let mut nested = b"\x80\x02}(".to_vec();
    for i in 0..100_000u32 {
        nested.extend([unicode(&i.to_string()), tensor(&[1], &[1])].concat());
    }
    nested.push(b'u');
    let nested = [b"\x80\x02}".to_vec(), key, nested[2..].to_vec(), b"s.".to_vec()].concat();
    let class = |len: usize| [b"c".to_vec(), vec![b'a'; len], b"\nb\n".to_vec()].concat();
    // MEMOIZE takes the number of entries for an index: 1 here, not 6.
    let sparse = [&b"\x80\x02Nr\x05\0\0\x000"[..], &class(64 << 10), b"\x940}(X\x01\0\0\0k(", &b"h\x01".repeat(900_000), b"tu."];
    // BUILD changes the copy of the memo.
    let built = [&b"\x80\x02}q\0}X\x01\0\0\0k"[..], &class(64 << 10), b"sb0", &b"h\0".repeat(300_000), b"."];
    for (name, pickle) in [
        ("an index of the memo", sparse.concat()),
        ("what is built", built.concat()),
        ("the name of a class", repeated(class(20_000), 400_000)),
        ("the shape of a tensor", repeated(tensor(&shape, &shape), 200_000)),
        ("the names of tensors", nested),
        ("empty objects", [b"\x80\x02".to_vec(), b"}".repeat(30_000_000), b".".to_vec()].concat()),
    ] {
        let message = refused(name, &archive(&[("data.pkl", &pickle), ("data/0", &[0; 400]), ("version", b"3\n")]), &[]);
        assert!(message.contains("objects take more than"), "{name}: {message}");
        // The older container has the same objects, after three other pickles.
        let magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.";
        let message = refused(name, &[&magic[..], &pickle].concat(), &[]);
        assert!(message.contains("objects take more than"), "{name}, older: {message}");
    }
}

#[test]
fn clause_12_a_tensor_larger_than_the_file_is_refused() {
    // The shapes of the issue: no configuration has so many channels.
    let message = refused("channels", &generator(&[("conv_pre.weight", tensor(&[345_131_300, 1, 7], &[0, 0, 0]))]), &[]);
    assert!(message.contains("345131300"), "{message}");
    // Shapes that fit a configuration.
    let layers: [(&str, &[u32]); 8] = [
        ("conv_pre.weight", &[16384, 80, 7]),
        ("conv_pre.bias", &[16384]),
        ("ups.0.weight", &[16384, 8192, 256]),
        ("ups.0.bias", &[8192]),
        ("resblocks.0.convs.0.weight", &[8192, 8192, 37]),
        ("resblocks.0.convs.0.bias", &[8192]),
        ("conv_post.weight", &[1, 8192, 7]),
        ("conv_post.bias", &[1]),
    ];
    let small = layers.map(|(name, shape)| (name, if name == "ups.0.weight" { &[16384, 8192, 1][..] } else { shape }));
    let tensors = small.map(|(name, shape)| (name, tensor(shape, &vec![0; shape.len()])));
    let message = refused("a stride of 0", &generator(&tensors), &["--config", "large.json"]);
    assert!(message.contains("bytes of the file") && message.contains("resblocks.0.convs.0.weight"), "{message}");
    // Weight norm: the gain is small, the direction is not.
    let normed = tensors
        .clone()
        .map(|(name, tensor)| (if name == "resblocks.0.convs.0.weight" { "resblocks.0.convs.0.weight_v" } else { name }, tensor));
    let gain = ("resblocks.0.convs.0.weight_g", tensor(&[8192, 1, 1], &[0, 0, 0]));
    refused("weight norm", &generator(&[&normed[..], &[gain]].concat()), &["--config", "large.json"]);
}

#[test]
fn clause_19_a_generator_under_another_key_is_found() {
    let place = Place::new();
    place.write("model.pt", generator_under("model_g", &[("conv_pre.weight", tensor(&[2, 2, 7], &[14, 7, 1]))]));
    // It is found: only its shapes are none of a generator.
    let message = place.refused(&["import", "hifigan", "model.pt", "--key", "model_g", "--out", "out.safetensors"]);
    assert!(message.contains("the shapes of HiFi-GAN"), "{message}");
    let message = place.refused(&["import", "hifigan", "model.pt", "--key", "other", "--out", "out.safetensors"]);
    assert!(message.contains("--key") && message.contains("model_g"), "{message}");
}
