//! Files without an end where one is read whole.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::tiny::Tiny;
use crate::{Place, text, tiny_run};

#[test]
fn clause_14_no_command_reads_a_device_without_end() {
    let (place, tiny) = (Place::new(), Tiny::new());
    let vocoder = tiny.vocoder.display().to_string();
    let zero = "/dev/zero";
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/vocoder/odd.pt").display().to_string();
    for arguments in [
        &["train", "--config", zero, "--out", "run"][..],
        &["tts-train", "--config", zero, "--data", "corpus", "--out", "run"],
        &["plan", "--config", zero],
        &["tts", "--file", zero, "--output", "a.wav"],
        &["tts", "--file", zero, "--out-dir", "spoken"],
        &["vocode", "--input", zero, "--vocoder", &vocoder, "--output", "a.wav"],
        &["import", "hifigan", &fixture, "--config", zero, "--out", "out.safetensors"],
        &["import", "hifigan", zero, "--out", "out.safetensors"],
        &["import", "source-filter", zero, "--out", "out.safetensors"],
    ] {
        let message = place.refused(arguments);
        assert!(message.contains(zero), "{arguments:?}: {message}");
        assert!(fs::read_dir(&place.folder).expect("a folder").next().is_none(), "{arguments:?}: something was left");
    }
}

#[test]
fn clause_14_no_part_of_a_folder_is_read_without_end() {
    let (place, tiny) = (Place::new(), Tiny::new());
    fs::create_dir(place.path("voice")).expect("a folder");
    symlink("/dev/zero", place.path("voice/voice.toml")).expect("a link");
    let voice = place.path("voice").display().to_string();
    let message = place.refused(&["tts", "--voice", &voice, "--text", "Hello.", "--output", "a.wav"]);
    assert!(message.contains("voice.toml"), "{message}");
    let [checkpoint, vocoder] = [&tiny.checkpoint, &tiny.vocoder].map(|path| path.display().to_string());
    let message =
        place.refused(&["export-voice", "--checkpoint", &checkpoint, "--vocoder", &vocoder, "--lexicon", "/dev/zero", "--out", "new"]);
    assert!(message.contains("/dev/zero"), "{message}");

    tiny_run(&place, 1);
    for name in ["data.json", "metrics.jsonl"] {
        fs::remove_file(place.path("run").join(name)).expect("a file of the run");
        symlink("/dev/zero", place.path("run").join(name)).expect("a link");
    }
    for arguments in [&["train", "--resume", "run"][..], &["report", "run"]] {
        place.refused(arguments);
    }
}

#[test]
fn clause_14_a_text_that_never_ends_is_refused_where_it_is_too_long() {
    let place = Place::new();
    // Letters without end: only the size tells.
    let endless = "yes ghost | timeout 60 \"$0\" \"$@\"";
    for arguments in [&["tts", "--file", "-", "--output", "a.wav"][..], &["phonemes", "--file", "-"], &["train", "--config", "/dev/stdin"]]
    {
        let command = place.command(arguments);
        let program = command.get_args().nth(2).expect("the program").to_owned();
        let output =
            std::process::Command::new("sh").args(["-c", endless]).arg(program).args(arguments).current_dir(&place.folder).output();
        let output = output.expect("a shell");
        let message = text(&output.stderr);
        assert!(output.status.code() == Some(2) && message.contains("of at most"), "{arguments:?}: {message}");
    }
}
