//! Files of tensors of every format that `info` opens, and what only looks like them.

use std::path::Path;

use crate::{Place, tiny_run};

/// A file of each format, and what `info` says of it.
fn formats(place: &Place) -> Vec<(Vec<u8>, &'static [&'static str])> {
    let fixture = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name);
        std::fs::read(path).expect("a fixture")
    };
    let checkpoint = std::fs::read(tiny_run(place, 1)).expect("a checkpoint");
    vec![
        (checkpoint, &["step 1; every checksum is right", "[model]", "weights by code"]),
        (fixture("tts/golden.safetensors"), &["a checkpoint of this program; every checksum is right", "phones = "]),
        (
            fixture("vocoder/generator_v3"),
            &["a PyTorch checkpoint; it has no checksums", "F32 [16, 80, 7]  generator.conv_pre.weight_v", "values in"],
        ),
        (fixture("vocoder/generator_v3_legacy"), &["a PyTorch checkpoint", "conv_pre.weight"]),
    ]
}

#[test]
fn info_tells_what_any_file_of_tensors_holds() {
    let place = Place::new();
    for (bytes, expected) in formats(&place) {
        // The name tells nothing.
        place.write("file.bin", bytes);
        let said = place.succeeds(&["info", "file.bin"]);
        assert!(expected.iter().all(|part| said.contains(part)), "expected {expected:?} in: {said}");
    }
}

#[test]
fn no_file_of_tensors_is_waited_for_or_taken_on_trust() {
    let place = Place::new();
    std::fs::create_dir(place.path("folder")).expect("a folder");
    let made = std::process::Command::new("mkfifo").arg(place.path("pipe")).status();
    assert!(made.is_ok_and(|status| status.success()), "no pipe");
    place.write("empty", b"");
    place.write("text", b"It is a truth universally acknowledged");
    place.write("gguf", b"GGUF\x03\0\0\0\0\0\0\0\0\0");
    for (name, part) in [
        ("folder", "a folder"),
        ("pipe", "something that is no file"),
        ("/dev/zero", "something that is no file"),
        ("empty", "an empty file"),
        ("text", "something else"),
        ("gguf", "a GGUF file"),
        ("none", "No such file"),
    ] {
        for arguments in
            [&["info", name][..], &["generate", "--checkpoint", name], &["import", "hifigan", name, "--out", "out.safetensors"]]
        {
            let message = place.refused(arguments);
            assert!(message.contains(name) && message.contains(part), "{arguments:?}: {message}");
        }
    }
}
