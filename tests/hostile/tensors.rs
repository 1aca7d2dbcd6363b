//! Files of tensors of every format that `info` opens, and what only looks like them.

use std::path::Path;

use crate::terminal::{NAME, require_harmless};
use crate::{Place, tiny_run};

/// A safetensors file of this JSON and so many bytes of data.
fn safetensors(json: &str, data: usize) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &vec![0; data]].concat()
}

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
            &["a PyTorch checkpoint; it has no checksums", "F32 [8, 80, 7]  generator.conv_pre.weight_v", "values in"],
        ),
        (fixture("vocoder/generator_v3_legacy"), &["a PyTorch checkpoint", "conv_pre.weight"]),
        // The lengths of these headers begin as a pickle and as an archive do.
        (safetensors(&format!("{{{:<639}", r#""w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#), 2), &["2  U8 [2]  w"]),
        (safetensors(&format!("{{{:<19279}", r#""w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#), 2), &["2  U8 [2]  w"]),
        (
            safetensors(r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}}"#, 12),
            &["a safetensors file; it has no checksums", "format = pt", "12  BF16 [2, 3]  w", "1 tensors of 6 values in 12 bytes"],
        ),
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
        for arguments in [
            &["info", name][..],
            &["generate", "--checkpoint", name],
            &["import", "hifigan", name, "--out", "out.safetensors"],
            &["import", "source-filter", name, "--out", "out.safetensors"],
        ] {
            let message = place.refused(arguments);
            assert!(message.contains(name) && message.contains(part), "{arguments:?}: {message}");
        }
    }
}

#[test]
fn no_revision_of_a_cache_is_waited_for_or_taken_on_trust() {
    let place = Place::new();
    ["cache/snapshots/0123abcd", "cache/refs"].iter().for_each(|name| std::fs::create_dir_all(place.path(name)).expect("a folder"));
    let refused = |part: &str| {
        let message = place.refused(&["info", "cache"]);
        assert!(message.contains("refs/main") && message.contains(part), "{part:?} in: {message}");
    };
    refused("No such file");
    for (main, part) in
        [(&b""[..], "an empty file"), (&[b'm'; 257], "257 bytes, of 256 at most"), (b"../refs", "../refs"), (b"\xFF", "found")]
    {
        place.write("cache/refs/main", main);
        refused(part);
    }
    std::fs::remove_file(place.path("cache/refs/main")).expect("removed");
    let made = std::process::Command::new("mkfifo").arg(place.path("cache/refs/main")).status();
    assert!(made.is_ok_and(|status| status.success()), "no pipe");
    refused("something that is no file");
}

#[test]
fn foreign_safetensors_that_lie_are_refused() {
    let place = Place::new();
    let whole = safetensors(r#"{"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, 4);
    let mut long = whole.clone();
    long[..8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    let two = |first: &str, second: &str| safetensors(&format!(r#"{{"a":{{"dtype":"U8",{first}}},"b":{{"dtype":"U8",{second}}}}}"#), 8);
    for (what, bytes, part) in [
        ("a header beyond the limit", long, "header of"),
        ("a header longer than the file", whole[..20].to_vec(), "ends within its header"),
        ("data cut short", whole[..whole.len() - 1].to_vec(), "of data"),
        ("more data than tensors", [&whole[..], b"x"].concat(), "of data"),
        ("an overlap", two(r#""shape":[5],"data_offsets":[0,5]"#, r#""shape":[5],"data_offsets":[3,8]"#), "makes no sense"),
        (
            "a product that overflows",
            two(r#""shape":[4294967296,4294967296],"data_offsets":[0,0]"#, r#""shape":[8],"data_offsets":[0,8]"#),
            "makes no sense",
        ),
        (
            "vast offsets",
            two(r#""shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]"#, r#""shape":[0],"data_offsets":[0,0]"#),
            "makes no sense",
        ),
    ] {
        place.write("file.safetensors", bytes);
        let message = place.refused(&["info", "file.safetensors"]);
        assert!(message.contains("file.safetensors") && message.contains(part), "{what}: {message}");
    }
    let name = serde_json::to_string(NAME).expect("JSON");
    let json = format!(r#"{{"__metadata__":{{{name}:{name}}},{name}:{{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}}}"#);
    place.write("named.safetensors", safetensors(&json, 4));
    require_harmless("info", &place.succeeds(&["info", "named.safetensors"]));
    require_harmless("import", &place.refused(&["import", "hifigan", "named.safetensors", "--out", "out.safetensors"]));
    require_harmless("generate", &place.refused(&["generate", "--checkpoint", "named.safetensors"]));
}
