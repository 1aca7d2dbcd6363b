//! Values that no run saves, in files whose checksums are right.

use std::fs;
use std::path::Path;

use crate::tiny::Tiny;
use crate::{Contents, Place, forge, tiny_run};

type Edit = (&'static str, fn(&mut Contents));

/// What no parameter can be, wherever it is loaded.
const PARAMETERS: [Edit; 8] = [
    ("code 0", |file| file.bytes("q.codes").fill(0)),
    ("code 0", |file| file.bytes("q.codes")[1] = 0x80),
    ("padding", |file| *file.bytes("q.codes").last_mut().expect("a code") = 0x99),
    ("NaN", |file| file.set_f32("q.scale", f32::NAN)),
    ("1e38", |file| file.set_f32("q.scale", 1e38)),
    ("-0.1", |file| file.set_f32("q.scale", -0.1)),
    ("inf", |file| file.set_f32("gamma", f32::INFINITY)),
    ("1e30", |file| file.set_f32("embedding.tokens", 1e30)),
];

#[test]
fn clause_13_no_command_takes_parameters_that_cannot_be() {
    let place = Place::new();
    let checkpoint = tiny_run(&place, 2);
    for (i, (expected, edit)) in PARAMETERS.into_iter().enumerate() {
        let name = format!("forged-{i}.safetensors");
        forge(&checkpoint, &place.path(&name), edit);
        for arguments in [
            &["generate", "--checkpoint", &name, "--max-tokens", "3"][..],
            &["eval", "--checkpoint", &name, "--data", "text.txt"],
            &["info", &name],
        ] {
            let message = place.refused(arguments);
            // An f32 of 1e38 has more digits than that.
            let expected = if expected.starts_with("1e") { "at index 0" } else { expected };
            assert!(message.contains(expected) && message.contains(&name) && message.contains("tensor "), "{arguments:?}: {message}");
        }
    }
}

#[test]
fn clause_13_no_run_resumes_from_state_that_cannot_be() {
    let place = Place::new();
    let checkpoint = tiny_run(&place, 2);
    fs::remove_file(place.path("run/checkpoints/step-00000004.safetensors")).expect("the last checkpoint");
    let whole = fs::read(&checkpoint).expect("a checkpoint");
    let edits: [Edit; 8] = [
        ("-128", |file| file.bytes(".votes")[3] = 128),
        ("18446744073709551615", |file| drop(file.metadata.insert("step".into(), u64::MAX.to_string()))),
        ("at most 4", |file| drop(file.metadata.insert("step".into(), "5".into()))),
        ("NaN", |file| file.set_f32(".vote_row", f32::NAN)),
        ("-1", |file| file.set_f32(".vote_column", -1.0)),
        ("-1", |file| file.set_f32("gamma.v", -1.0)),
        ("inf", |file| file.set_f32("gamma.m", f32::INFINITY)),
        ("code 0", |file| file.bytes("q.codes")[0] = 0),
    ];
    for (expected, edit) in edits {
        fs::write(&checkpoint, &whole).expect("the checkpoint");
        forge(&checkpoint, &checkpoint, edit);
        let message = place.refused(&["train", "--threads", "1", "--resume", "run"]);
        assert!(message.contains(expected), "{expected}: {message}");
    }
    fs::write(&checkpoint, &whole).expect("the checkpoint");
    place.succeeds(&["train", "--threads", "1", "--resume", "run"]);
}

#[test]
fn clause_13_no_voice_speaks_with_numbers_that_cannot_be() {
    let (place, tiny) = (Place::new(), Tiny::new());
    let says = ["tts", "--threads", "1", "--text", "Hello.", "--output", "a.wav", "--voice", "voice"];
    fs::create_dir(place.path("voice")).expect("a folder");
    let acoustic: [Edit; 5] = [
        ("NaN", |file| file.set_f32("duration.out.bias", f32::NAN)),
        ("at index 0", |file| file.set_f32("duration.out.bias", 1e38)),
        ("code 0", |file| file.bytes(".codes")[0] = 0),
        ("standard deviations", |file| edit_fact(file, "\"std\":0.2", "\"std\":1e30")),
        ("sampling_rate", |file| edit_fact(file, "\"sampling_rate\":22050", "\"sampling_rate\":4294967295")),
    ];
    let vocoder: [Edit; 3] = [
        ("NaN", |file| file.bytes("conv_pre.bias")[..2].copy_from_slice(&half::f16::NAN.to_le_bytes())),
        ("inf", |file| file.bytes("conv_post.weight")[..2].copy_from_slice(&half::f16::INFINITY.to_le_bytes())),
        ("sampling_rate", |file| {
            let mel = file.metadata.get_mut("mel").expect("mel settings");
            *mel = mel.replace("22050", "1");
        }),
    ];
    let parts = [("acoustic.safetensors", acoustic.to_vec()), ("vocoder.safetensors", vocoder.to_vec())];
    for (part, edits) in parts {
        for (expected, edit) in edits {
            copy(&tiny.voice, &place.path("voice"));
            forge(&tiny.voice.join(part), &place.path("voice").join(part), edit);
            let message = place.refused(&says);
            assert!(message.contains(expected), "{part}, {expected}: {message}");
            assert!(!place.path("a.wav").exists());
        }
    }
    copy(&tiny.voice, &place.path("voice"));
    place.succeeds(&says);
    // No voice is made of such numbers either.
    let forged = tiny.folder.path().join("forged.safetensors");
    forge(&tiny.checkpoint, &forged, |file| file.bytes(".codes")[0] = 0);
    let [forged, vocoder] = [&forged, &tiny.vocoder].map(|path| path.display().to_string());
    place.refused(&["export-voice", "--checkpoint", &forged, "--vocoder", &vocoder, "--out", "new"]);
    assert!(!place.path("new").exists());
}

fn edit_fact(file: &mut Contents, from: &str, to: &str) {
    let facts = file.metadata.get_mut("voice").expect("the facts of a voice");
    assert!(facts.contains(from), "{facts}");
    *facts = facts.replace(from, to);
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a file");
    }
}
