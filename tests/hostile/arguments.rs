//! Arguments that make no sense together, files that were made elsewhere, and what the messages advise.

use std::fs;

use primal_host::configurations::Load;

use crate::tiny::Tiny;
use crate::{Place, refusal, text, tiny_run};

#[test]
fn clause_15_a_run_without_sources_is_refused() {
    let (place, run) = (Place::new(), "run");
    tiny_run(&place, 1);
    for (content, expected) in [("[]", "an empty one"), ("[1]", "neither a list of strings"), ("{}", "neither a list of strings")] {
        fs::write(place.path("run/data.json"), content).expect("the sources");
        let message = place.refused(&["train", "--threads", "1", "--resume", run]);
        assert!(message.contains("data.json") && message.contains(expected), "{content}: {message}");
    }
}

#[test]
fn clause_15_a_run_of_a_voice_without_a_corpus_is_refused() {
    let (place, run) = (Place::new(), "run");
    fs::create_dir(place.path(run)).expect("a folder");
    let config = <primal_engine::config::SpeechConfig as Load>::load("ghost-tts-nano").expect("an embedded configuration").to_toml();
    place.write("run/config.toml", config);
    for content in ["[]", "[\n]"] {
        fs::write(place.path("run/data.json"), content).expect("the sources");
        let message = place.refused(&["tts-train", "--threads", "1", "--resume", run]);
        assert!(message.contains("data.json"), "{content}: {message}");
    }
}

#[test]
fn clause_15_no_output_replaces_another_file_of_the_command() {
    let (place, tiny) = (Place::new(), Tiny::new());
    let [voice, vocoder, checkpoint] = [&tiny.voice, &tiny.vocoder, &tiny.checkpoint].map(|path| path.display().to_string());
    fs::copy(&tiny.vocoder, place.path("vocoder")).expect("a file");
    place.write("text", "Hello.");
    #[cfg(unix)]
    std::os::unix::fs::symlink("sound", place.path("link")).expect("a link");
    fs::create_dir(place.path("spoken")).expect("a folder");
    place.write("spoken/manifest.jsonl", "Hello.");
    let before = fs::read_dir(&place.folder).expect("a folder").count();
    for (arguments, flags) in [
        (&["tts", "--voice", &voice, "--text", "Hello.", "--output", "sound", "--mel", "sound"][..], ["--mel", "--output"]),
        (&["tts", "--voice", &voice, "--text", "Hello.", "--output", "sound", "--mel", "./sound"], ["--mel", "--output"]),
        #[cfg(unix)]
        (&["tts", "--voice", &voice, "--text", "Hello.", "--output", "sound", "--mel", "link"], ["--mel", "--output"]),
        (&["tts", "--voice", &voice, "--file", "text", "--output", "text"], ["--output", "--file"]),
        (&["tts", "--voice", &voice, "--file", "spoken/manifest.jsonl", "--out-dir", "spoken"], ["--out-dir", "--file"]),
        (&["vocode", "--vocoder", "vocoder", "--input", "text", "--output", "text"], ["--output", "--input"]),
        (&["vocode", "--vocoder", "vocoder", "--input", "text", "--output", "vocoder"], ["--output", "--vocoder"]),
        (&["import", "hifigan", "text", "--out", "text"], ["--out", "FILE"]),
        (&["import", "source-filter", "text", "--out", "text"], ["--out", "FILE"]),
    ] {
        let message = place.refused(arguments);
        assert!(flags.iter().all(|flag| message.contains(flag)) && message.contains("another file"), "{arguments:?}: {message}");
    }
    let out = tiny.voice.display().to_string();
    let own = tiny.voice.join("vocoder.safetensors").display().to_string();
    let message = place.refused(&["export-voice", "--checkpoint", &checkpoint, "--vocoder", &own, "--out", &out]);
    assert!(message.contains("--vocoder"), "{message}");
    assert_eq!(fs::read(place.path("text")).expect("the text"), b"Hello.");
    assert_eq!(fs::read_dir(&place.folder).expect("a folder").count(), before);
    assert!(!vocoder.is_empty());
}

#[test]
fn clause_15_a_name_of_another_kind_is_refused() {
    let (place, tiny) = (Place::new(), Tiny::new());
    let [voice, vocoder] = [&tiny.voice, &tiny.vocoder].map(|path| path.display().to_string());
    let says = ["tts", "--threads", "1", "--voice", &voice, "--text", "Hello."];
    for name in ["x.mp3", "x.OGG", "x.flac", "x.mp4", "x.png", "x.txt"] {
        for stream in [&[][..], &["--stream"]] {
            let message = place.refused(&[&says, &["--output", name][..], stream].concat());
            assert!(message.contains("--output") && message.contains(".wav"), "{name}: {message}");
        }
    }
    for name in ["x.jpg", "x.wav", "x.svg"] {
        let message = place.refused(&[&says, &["--output", "a.wav", "--mel", name][..]].concat());
        assert!(message.contains("--mel") && message.contains(".png"), "{name}: {message}");
    }
    place.write("in.wav", "no sound");
    let message = place.refused(&["vocode", "--vocoder", &vocoder, "--input", "in.wav", "--output", "x.mp3"]);
    assert!(message.contains("--output"), "{message}");
    let message = place.refused(&["import", "hifigan", "in.wav", "--out", "x.pt"]);
    assert!(message.contains("--out") && message.contains(".safetensors"), "{message}");
    for name in ["x.WAV", "x", "x.1"] {
        place.succeeds(&[&says, &["--output", name][..]].concat());
        assert!(fs::read(place.path(name)).expect("a WAV").starts_with(b"RIFF"));
    }
}

#[test]
fn clause_15_an_unwritable_picture_is_noticed_before_speaking() {
    let (place, tiny) = (Place::new(), Tiny::new());
    let voice = tiny.voice.display().to_string();
    let mut names = vec!["none/a.png".to_string(), "a.wav/b.png".into(), format!("{}.png", "a".repeat(300))];
    if cfg!(target_os = "linux") {
        names.push("/proc/a.png".into());
        #[cfg(unix)]
        std::os::unix::fs::symlink("nowhere/a.png", place.path("link.png")).expect("a link");
        names.push("link.png".into());
    }
    for name in names {
        let text = "Hello, world. ".repeat(3000);
        let arguments = ["tts", "--threads", "1", "--voice", &voice, "--text", &text, "--output", "a.wav", "--mel", &name];
        let output = place.run(&arguments);
        let message = refusal(&["tts", "--mel", &name], &output);
        assert!(message.contains(&name), "{name}: {message}");
        assert!(!place.path("a.wav").exists() && !message.contains("s of speech"), "{name}: spoken first: {message}");
    }
}

#[test]
fn clause_15_streamed_wavs_are_read() {
    let (place, tiny) = (Place::new(), Tiny::new());
    let [voice, vocoder] = [&tiny.voice, &tiny.vocoder].map(|path| path.display().to_string());
    let output = place.run(&["tts", "--threads", "1", "--voice", &voice, "--text", "Hello, world.", "--stream"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let ours = output.stdout;
    assert_eq!(ours[40..44], [255; 4], "an open length");
    let with = |riff: u32, data: u32| {
        let mut bytes = ours.clone();
        bytes[4..8].copy_from_slice(&riff.to_le_bytes());
        bytes[40..44].copy_from_slice(&data.to_le_bytes());
        bytes
    };
    let mut half = ours.clone();
    half.pop();
    // As sox, ffmpeg and arecord leave it, and after a writer was killed.
    for bytes in [ours.clone(), with(i32::MAX as u32, i32::MAX as u32 - 36), with(0, 0), with(u32::MAX, u32::MAX - 36), half] {
        place.write("in.wav", &bytes);
        place.succeeds(&["vocode", "--threads", "1", "--vocoder", &vocoder, "--input", "in.wav", "--output", "out.wav"]);
        let expected = 44 + (bytes.len() - 44) / 512 * 512;
        assert_eq!(fs::metadata(place.path("out.wav")).expect("a WAV").len(), expected as u64);
    }
    // One that is cut short is still damaged.
    place.write("in.wav", &with(ours.len() as u32 - 8, ours.len() as u32 - 44)[..ours.len() / 2]);
    place.refused(&["vocode", "--vocoder", &vocoder, "--input", "in.wav", "--output", "out.wav"]);
}

#[test]
fn clause_21_other_encodings_are_named() {
    let (place, tiny) = (Place::new(), Tiny::new());
    let voice = tiny.voice.display().to_string();
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    for (bytes, expected) in [
        ([b"\xFF\xFE".to_vec(), utf16("The ghost sings. é")].concat(), "iconv -f utf-16 "),
        (b"The \x93ghost\x94 sings.".to_vec(), "iconv -f cp1252 "),
        (b"caf\xe9 au lait".to_vec(), "iconv -f latin1 "),
        (b"\xFF\xFE\0\0T\0\0\0".to_vec(), "iconv -f utf-32 "),
    ] {
        place.write("in.txt", &bytes);
        for arguments in
            [&["tts", "--voice", &voice, "--file", "in.txt", "--output", "a.wav"][..], &["train", "--data", "in.txt", "--out", "run"]]
        {
            let message = place.refused(arguments);
            assert!(message.contains("in.txt") && message.contains(expected), "{expected}: {message}");
        }
    }
}

#[test]
fn clause_21_messages_say_what_to_do() {
    let place = Place::new();
    place.write("odd.toml", "[model]\nzebra = 1\n");
    place.write("bad.toml", "[model\n");
    for config in ["odd.toml", "bad.toml"] {
        let message = place.refused(&["plan", "--config", config]);
        assert!(!message.contains("README"), "the README does not list them: {message}");
    }
    for (arguments, expected) in [
        (&["train", "--seed", "-1"][..], "0 to 18446744073709551615"),
        (&["generate", "--checkpoint", "x", "--seed", "1.5"], "0 to 18446744073709551615"),
        (&["train", "--steps", "99999999999999999999"], "0 to 18446744073709551615"),
        (&["tts", "--threads", "-2", "--text", "x"], "1 to 1024"),
        (&["train", "--grad-accum", "-1"], "1 to 65536"),
        (&["phonemes", "-5°C"], "-- \"-5°C\""),
        (&["info", "-odd.safetensors"], "--"),
    ] {
        let message = place.refused(arguments);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
    assert!(place.succeeds(&["phonemes", "--", "-5°C"]).contains("minus"));
}

#[test]
fn clause_21_a_prompt_that_is_cut_is_said() {
    let place = Place::new();
    let checkpoint = tiny_run(&place, 1).display().to_string();
    let generate = |prompt: &str| place.succeeds(&["generate", "--checkpoint", &checkpoint, "--max-tokens", "2", "--prompt", prompt]);
    let said = generate("A prompt of twenty-8 letters.");
    assert!(said.contains("29 tokens") && said.contains("16 are read") && said.contains("first 13"), "{said}");
    assert!(generate("ghosts é ghosts").contains("16 tokens") && !generate("ghosts é ghosts").contains("warning"));
    assert!(generate("ghosts é ghosts.").contains("first 1 of"));
}

#[test]
#[cfg(unix)]
fn clause_21_folders_are_reached_by_links() {
    let place = Place::new();
    tiny_run(&place, 1);
    fs::create_dir_all(place.path("texts/inner")).expect("a folder");
    fs::create_dir_all(place.path("linked")).expect("a folder");
    place.write("texts/inner/a.txt", "A line to learn from.\n".repeat(50));
    std::os::unix::fs::symlink("../texts", place.path("linked/data")).expect("a link");
    // It leads back to where it lies.
    std::os::unix::fs::symlink("..", place.path("texts/inner/round")).expect("a link");
    std::os::unix::fs::symlink("linked", place.path("twice")).expect("a link");
    for data in ["linked", "linked/data", "twice"] {
        let said = place.succeeds(&["eval", "--checkpoint", "run/checkpoints/step-00000003.safetensors", "--data", data, "--split", "all"]);
        assert!(said.contains("over 1100 tokens") || said.contains("over 1099 tokens"), "{data}: {said}");
    }
    std::os::unix::fs::symlink("none", place.path("linked/dangling")).expect("a link");
    let message = place.refused(&["eval", "--checkpoint", "run/checkpoints/step-00000003.safetensors", "--data", "linked"]);
    assert!(message.contains("dangling"), "{message}");
}

#[test]
fn clause_21_a_finished_run_is_said_to_be() {
    let place = Place::new();
    tiny_run(&place, 1);
    for _ in 0..2 {
        let said = place.succeeds(&["train", "--threads", "1", "--resume", "run"]);
        assert!(said.contains("the run is finished") && said.contains("3 steps"), "{said}");
    }
}
