//! What people try first: texts from pipes and files, with markup, blank lines and lists.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::tiny::Tiny;
use crate::{Place, refusal, text, tiny_run};

fn samples(path: &Path) -> usize {
    let mut reader = hound::WavReader::open(path).expect("a WAV");
    reader.samples::<i16>().collect::<Result<Vec<_>, _>>().expect("samples").len()
}

#[test]
fn clause_19_a_text_comes_through_a_pipe() {
    let (place, tiny) = (Place::new(), Tiny::new());
    let voice = tiny.voice.display().to_string();
    let says = ["tts", "--threads", "1", "--voice", &voice];
    let whole = {
        place.succeeds(&[&says[..], &["--text", "Hello, world.", "--output", "a.wav"]].concat());
        fs::read(place.path("a.wav")).expect("a WAV")
    };
    for more in [&["--output", "b.wav"][..], &["--file", "-", "--output", "b.wav"]] {
        let output = place.run_with(&[&says[..], more].concat(), b"Hello, world.");
        assert!(output.status.success(), "{more:?}: {}", text(&output.stderr));
        assert!(fs::read(place.path("b.wav")).expect("a WAV") == whole, "{more:?}: other samples");
        fs::remove_file(place.path("b.wav")).expect("the WAV");
    }
    let output = place.run_with(&[&says[..], &["--file", "-", "--out-dir", "spoken"]].concat(), b"Hello, world.\nHello.");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(fs::read(place.path("spoken/0001.wav")).expect("a WAV") == whole && place.path("spoken/0002.wav").exists());
    for (input, expected) in [(&b""[..], "--text"), (b"\xFF\xFEH\0i\0", "utf-16"), (b" \n", "standard input")] {
        let message = refusal(&says, &place.run_with(&says, input));
        assert!(message.contains(expected), "{input:?}: {message}");
    }
}

#[test]
fn clause_19_phonemes_of_files_and_pipes() {
    let place = Place::new();
    place.write("in.txt", "The ghost.\nIt sings.");
    let expected = place.succeeds(&["phonemes", "The ghost.\nIt sings."]);
    assert_eq!(place.succeeds(&["phonemes", "--file", "in.txt"]), expected);
    for arguments in [&["phonemes"][..], &["phonemes", "--file", "-"]] {
        let output = place.run_with(arguments, b"The ghost.\nIt sings.");
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), expected.clone()), "{}", text(&output.stderr));
    }
    for arguments in [&["phonemes"][..], &["phonemes", "--file", "none.txt"], &["phonemes", "x", "--file", "in.txt"]] {
        place.refused(arguments);
    }
}

/// The phones of a text, as `phonemes` prints them last.
fn phones(place: &Place, text: &str, more: &[&str]) -> String {
    place.write("in.txt", text);
    let said = place.succeeds(&[&["phonemes", "--file", "in.txt"], more].concat());
    said.lines().last().expect("phones").to_string()
}

#[test]
fn clause_19_lines_that_end_by_themselves_end_with_a_pause() {
    let place = Place::new();
    let [milk, eggs, bread] = ["M IH1 L K", "EH1 G Z", "B R EH1 D"];
    let list = format!("SIL {milk} SIL {eggs} SIL {bread} SIL");
    for text in ["milk\neggs\nbread", "milk\r\neggs\r\nbread\r\n", "- milk\n- eggs\n- bread", "milk\n\neggs\n\nbread"] {
        assert_eq!(phones(&place, text, &[]), list, "{text:?}");
    }
    let heading = phones(&place, "Milk\neggs and bread and eggs and bread and eggs and bread and eggs", &[]);
    assert!(heading.starts_with(&format!("SIL {milk} SIL {eggs} ")), "{heading}");
    // A text that was broken to fit a width has no pauses there.
    let wrapped = "eggs and bread and eggs and bread and eggs\nand bread and eggs and bread and eggs and\nbread";
    assert_eq!(phones(&place, wrapped, &[]), phones(&place, &wrapped.replace('\n', " "), &[]));
}

#[test]
fn clause_19_markup_is_silent() {
    let place = Place::new();
    let [milk, eggs] = ["M IH1 L K", "EH1 G Z"];
    for text in [
        "# Milk\n\n*eggs*",
        "Milk\n====\n**_eggs_**",
        "- [milk](https://example.com/a?b=c)\n- `eggs`",
        "<h1>Milk</h1><p style=\"x\">eggs</p>",
        "<!DOCTYPE html>\n<html><head><title>bread</title><style>p{}</style></head><body><ul><li>milk<li>eggs</ul><script>bread</script></body></html>",
        "<!-- bread -->\n\n> milk\n\n| eggs |\n|---|\n",
        "---\ntitle: bread\n---\n![milk](bread.png)<br/>eggs",
    ] {
        assert_eq!(phones(&place, text, &["--markup"]), format!("SIL {milk} SIL {eggs} SIL"), "{text:?}");
    }
    assert!(phones(&place, "*eggs*", &[]).contains("AE1 S T ER0 IH0 S K"), "without the flag an asterisk is read");
    let tiny = Tiny::new();
    let voice = tiny.voice.display().to_string();
    place.write("in.md", "# Milk\n\n<b>eggs</b> &amp; milk");
    place.write("plain.txt", "Milk\n\neggs & milk");
    for (file, wav, more) in [("in.md", "a.wav", &["--markup"][..]), ("plain.txt", "b.wav", &[])] {
        place.succeeds(&[&["tts", "--threads", "1", "--voice", &voice, "--file", file, "--output", wav], more].concat());
    }
    assert_eq!(samples(&place.path("a.wav")), samples(&place.path("b.wav")));
}

#[test]
fn clause_19_lines_without_words_are_no_failure() {
    let (place, tiny) = (Place::new(), Tiny::new());
    let voice = tiny.voice.display().to_string();
    let says = ["tts", "--threads", "1", "--voice", &voice, "--file", "in.txt"];
    place.write("in.txt", "Hello.\n\n...\n?!\n \nHello.\n");
    let output = place.run(&[&says[..], &["--out-dir", "spoken", "--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let object: Value = serde_json::from_slice(&output.stdout).expect("an object");
    assert_eq!((&object["lines"], &object["failed"], &object["skipped"]), (&6.into(), &0.into(), &4.into()));
    let mut names: Vec<_> =
        fs::read_dir(place.path("spoken")).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["0001.wav", "0006.wav", "manifest.jsonl"]);
    let manifest = fs::read_to_string(place.path("spoken/manifest.jsonl")).expect("a manifest");
    let entries: Vec<Value> = manifest.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let skipped: Vec<u64> =
        entries.iter().filter(|entry| entry["skipped"].is_string()).filter_map(|entry| entry["line"].as_u64()).collect();
    assert_eq!(skipped, [2, 3, 4, 5]);
    // What cannot be read is one still.
    place.write("in.txt", "Hello.\n\u{1F47B}\n");
    assert_eq!(place.run(&[&says[..], &["--out-dir", "spoken"]].concat()).status.code(), Some(1));

    let length = |text: &str| {
        place.write("in.txt", text);
        place.succeeds(&[&says[..], &["--output", "a.wav"]].concat());
        samples(&place.path("a.wav"))
    };
    let plain = length("Hello.\nHello.");
    for text in ["Hello.\n...\nHello.", "Hello.\n\nHello.", "...\nHello.\nHello.", "Hello.\n--\nHello."] {
        let more = length(text) - plain;
        assert!((22_050 / 4..22_050).contains(&more), "{text:?}: a pause of {more} samples");
    }
}

#[test]
fn clause_19_eval_says_what_it_measures() {
    let place = Place::new();
    let checkpoint = tiny_run(&place, 1).display().to_string();
    let said = place.succeeds(&["eval", "--threads", "1", "--checkpoint", &checkpoint]);
    assert!(said.contains("no --data") && said.contains("stories") && said.contains("validation"), "{said}");
    let said = place.succeeds(&["eval", "--threads", "2", "--checkpoint", &checkpoint, "--data", "text.txt", "--split", "all"]);
    assert!(said.contains("of text.txt, all") && !said.contains("stories"), "{said}");
    let message = place.refused(&["eval", "--threads", "0", "--checkpoint", &checkpoint]);
    assert!(message.contains("--threads"), "{message}");
}
