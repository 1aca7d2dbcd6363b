//! What cannot be spoken, read or written is refused with a reason, and nothing is left half-written.

use std::fs;
use std::path::Path;

use primal_speech::mel::MelSettings;

use crate::tiny::write_vocoder;
use crate::{Speaker, TEXT, read, text};

#[test]
fn odd_texts_are_spoken_or_refused_with_a_reason() {
    let speaker = Speaker::new();
    for (given, reason) in [
        ("", "no text"),
        (" \n\t ", "no text"),
        ("?!... --", "only punctuation"),
        ("\u{1F47B}\u{1F600}", "\u{1F47B}"),
        ("\u{7}\u{1b}\u{0}", "control character"),
        ("Привет, мир", "П"),
        ("こんにちは", "こ"),
    ] {
        // No argument can hold a zero byte.
        let given = given.replace('\0', "\u{1}");
        let message = speaker.fails(2, &["--text", &given]);
        assert!(message.contains(reason), "{given:?}: {message}");
    }
    assert!(speaker.files().is_empty(), "{:?}", speaker.files());
    for given in ["The ghost \u{1F47B} sings.", "The\u{7} ghost\u{1b}[31m", "The ghost: привет.", "“The ghost” – isn’t…"] {
        let said = speaker.json(&["--text", given, "--output", "a.wav"]);
        assert!(!read(&speaker.path("a.wav")).is_empty());
        let is_plain = given.starts_with('“');
        assert_eq!(said["warnings"].as_array().expect("warnings").is_empty(), is_plain, "{given:?}: {}", said["warnings"]);
    }
    let output = speaker.run(&["--text", "The ghost \u{1F47B} sings."]);
    assert!(text(&output.stderr).contains("warning: ") && text(&output.stderr).contains("byte 10"), "{}", text(&output.stderr));
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let speaker = Speaker::new();
    fs::write(speaker.path("lines.txt"), "Hello.").expect("a file");
    fs::write(speaker.path("empty.txt"), " \n\n").expect("a file");
    fs::write(speaker.path("latin1.txt"), b"Hello.\nCaf\xE9.").expect("a file");
    fs::write(speaker.path("utf16.txt"), b"\xFF\xFEH\0i\0").expect("a file");
    let before = speaker.files();
    let said: [(&[&str], &str); 19] = [
        (&[], "--text or --file"),
        (&["--text", "Hello.", "--file", "lines.txt"], "--file"),
        (&["--text", "Hello.", "--speed", "0"], "--speed"),
        (&["--text", "Hello.", "--speed", "-1"], "--speed"),
        (&["--text", "Hello.", "--speed", "NaN"], "--speed"),
        (&["--text", "Hello.", "--speed", "inf"], "--speed"),
        (&["--text", "Hello.", "--speed", "fast"], "speed"),
        (&["--text", "Hello.", "--pitch", "100"], "--pitch"),
        (&["--text", "Hello.", "--pitch-range", "-1"], "--pitch-range"),
        (&["--text", "Hello.", "--energy", "0"], "--energy"),
        (&["--text", "Hello.", "--out-dir", "spoken"], "--out-dir"),
        (&["--text", "Hello.", "--threads", "0"], "threads"),
        (&["--file", "lines.txt", "--out-dir", "spoken", "--output", "a.wav"], "--output"),
        (&["--file", "lines.txt", "--mel", "a.png"], "--mel"),
        (&["--file", "lines.txt", "--out-dir", "spoken", "--stream"], "--stream"),
        (&["--file", "none.txt"], "none.txt"),
        (&["--file", "empty.txt"], "empty.txt"),
        (&["--file", "utf16.txt"], "utf16.txt"),
        (&["--file", "latin1.txt", "--output", "a.wav"], "line 2"),
    ];
    for (arguments, reason) in said {
        let message = speaker.fails(2, arguments);
        assert!(message.contains(reason), "{arguments:?}: {message}");
    }
    assert_eq!(speaker.files(), before);
}

#[test]
fn an_output_that_cannot_be_written_is_named_and_nothing_is_left() {
    let speaker = Speaker::new();
    fs::create_dir(speaker.path("folder.wav")).expect("a folder");
    fs::write(speaker.path("file"), "no folder").expect("a file");
    fs::write(speaker.path("lines.txt"), "Hello.").expect("a file");
    let before = speaker.files();
    for output in ["none/a.wav", "folder.wav", "file/a.wav", "..", "", "none/"] {
        for stream in [&[][..], &["--stream"]] {
            let message = speaker.fails(2, &[&["--text", TEXT, "--output", output], stream].concat());
            assert!(message.contains(output), "{output:?}: {message}");
        }
        speaker.fails(2, &["--text", TEXT, "--output", "a.wav", "--mel", output]);
    }
    speaker.fails(2, &["--file", "lines.txt", "--out-dir", "file"]);
    speaker.fails(2, &["--file", "lines.txt", "--out-dir", "file/spoken"]);
    assert_eq!(speaker.files(), before);
    if Path::new("/dev/full").exists() {
        let message = speaker.fails(1, &["--text", TEXT, "--output", "/dev/full"]);
        assert!(message.contains("/dev/full"), "{message}");
        let output = speaker.command(&["--text", TEXT, "--stream"]).stdout(fs::File::create("/dev/full").expect("a device")).output();
        assert_eq!(output.expect("primal-host runs").status.code(), Some(1));
    }
    // A file that was there survives a text that cannot be spoken.
    speaker.json(&["--text", TEXT, "--output", "a.wav"]);
    let kept = fs::read(speaker.path("a.wav")).expect("a WAV");
    for stream in [&[][..], &["--stream"]] {
        speaker.fails(2, &[&["--text", "?", "--output", "a.wav"], stream].concat());
    }
    assert!(fs::read(speaker.path("a.wav")).expect("a WAV") == kept);
}

#[test]
fn broken_voices_are_refused() {
    let speaker = Speaker::new();
    let voice = &speaker.tiny.voice;
    let say = || speaker.fails(2, &["--text", TEXT]);
    let good = |name: &str| fs::read(voice.join(name)).expect("a part of the voice");
    for name in ["acoustic.safetensors", "vocoder.safetensors"] {
        let bytes = good(name);
        for cut in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
            fs::write(voice.join(name), &bytes[..cut]).expect("a file");
            let message = say();
            assert!(message.contains(name), "{name} cut at {cut}: {message}");
        }
        let mut damaged = bytes.clone();
        *damaged.last_mut().expect("bytes") ^= 1;
        for foreign in [&damaged[..], b"PK\x03\x04 a zip archive", &good("voice.toml")] {
            fs::write(voice.join(name), foreign).expect("a file");
            assert!(say().contains(name));
        }
        fs::remove_file(voice.join(name)).expect("a file");
        assert!(say().contains(name));
        fs::write(voice.join(name), bytes).expect("a file");
    }
    // Each in the other's place.
    let [acoustic, vocoder] = ["acoustic.safetensors", "vocoder.safetensors"].map(good);
    fs::write(voice.join("acoustic.safetensors"), &vocoder).expect("a file");
    assert!(say().contains("acoustic.safetensors"));
    fs::write(voice.join("acoustic.safetensors"), &acoustic).expect("a file");
    fs::write(voice.join("vocoder.safetensors"), &acoustic).expect("a file");
    assert!(say().contains("vocoder.safetensors"));
    fs::write(voice.join("vocoder.safetensors"), &vocoder).expect("a file");

    let description = text(&good("voice.toml"));
    for (from, to) in [("\"acoustic.safetensors\"", "\"../acoustic.safetensors\""), ("vocoder =", "vocodr ="), ("name = ", "name = 1 #")] {
        fs::write(voice.join("voice.toml"), description.replace(from, to)).expect("a file");
        assert!(say().contains("voice.toml"));
    }
    fs::remove_file(voice.join("voice.toml")).expect("a file");
    assert!(say().contains("voice.toml"));
    assert!(speaker.files().is_empty(), "{:?}", speaker.files());
}

#[test]
fn a_vocoder_of_other_mel_settings_is_named() {
    let speaker = Speaker::new();
    let tiny = &speaker.tiny;
    let usual = MelSettings::default();
    for (field, mel) in [
        ("sampling_rate", MelSettings { sampling_rate: 24_000, ..usual }),
        ("n_fft", MelSettings { n_fft: 2048, ..usual }),
        ("win_size", MelSettings { win_size: 800, ..usual }),
        ("num_mels", MelSettings { num_mels: 100, ..usual }),
        ("fmin", MelSettings { fmin: 40.0, ..usual }),
        ("fmax", MelSettings { fmax: 11_025.0, ..usual }),
    ] {
        let path = tiny.folder.path().join("other.safetensors");
        write_vocoder(&path, &mel, 16);
        let out = tiny.folder.path().join("never");
        let (code, _, message) = tiny.export(&path, &out);
        assert!(code == Some(2) && message.contains(field), "{field}: {message}");
        assert!(!out.exists(), "{field}: a folder was made");
        fs::copy(&path, tiny.voice.join("vocoder.safetensors")).expect("a file");
        let message = speaker.fails(2, &["--text", TEXT]);
        assert!(message.contains(field), "{field}: {message}");
    }
}
