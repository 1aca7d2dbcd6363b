//! The vocoder as a whole: what PyTorch computed with the same weights, chunks of any size, published checkpoints, the commands, bad files.
//!
//! `fixtures/vocoder/make.py` made the weights and what PyTorch 2.5.1 computed with them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use primal_engine::backend::cpu::Cpu;
use primal_engine::memory::Plan;
use primal_engine::models::hifigan::Hifigan;
use primal_engine::models::hifigan::{Padding, VocoderFile, Window};
use primal_host::Result;
use primal_host::sound;
use primal_host::voice::Vocoder;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

#[path = "vocoder/parts.rs"]
mod parts;
use parts::Parts;

/// Samples may differ by this from another implementation in 32-bit floats: ten times what those of PyTorch differ from 64-bit ones, and five
/// times that for deeper generators.
const AUDIO: f32 = 1e-4;
/// The same for weights rounded to 16 bits, of which a sample sees some thousand.
const AUDIO_OF_HALVES: f32 = 5e-3;
/// Chunks may differ by this from the whole.
const CHUNKS: f32 = 1e-6;

/// A PyTorch checkpoint of the fixtures, the configuration given with it, and the name of its reference.
const CHECKPOINTS: [(&str, Option<&str>, &str); 4] = [
    ("generator_v3", None, "v3"),
    ("generator_v3_legacy", None, "v3"),
    ("odd.pt", Some("odd.json"), "odd"),
    ("generator.ckpt", Some("speechbrain.json"), "speechbrain"),
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/vocoder").join(name)
}

/// A log-mel `[frames, mels]` of a file of references, and the samples that PyTorch made of it.
fn reference(path: &Path, name: &str) -> (Vec<f32>, Vec<f32>) {
    let bytes = fs::read(path).expect("the references");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let tensor = |part: &str| file.tensor(&format!("{name}.{part}")).expect("a reference");
    let floats = |view: &TensorView| -> Vec<f32> {
        view.data().chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four bytes"))).collect()
    };
    let (mel, audio) = (tensor("mel"), tensor("audio"));
    let (columns, values) = (mel.shape()[1], floats(&mel));
    let rows = (0..columns).flat_map(|frame| values.iter().skip(frame).step_by(columns).copied()).collect();
    (rows, floats(&audio))
}

fn references(name: &str) -> (Vec<f32>, Vec<f32>) {
    reference(&fixture("references.safetensors"), name)
}

/// The file of a HiFi-GAN.
fn hifigan(vocoder: &Vocoder) -> &VocoderFile {
    vocoder.hifigan().expect("HiFi-GAN")
}

fn synthesise(vocoder: &Vocoder, mel: &[f32], chunk: usize) -> Vec<f32> {
    let mut plan = Plan::default();
    let model = Hifigan::plan(&hifigan(vocoder).config, vocoder.mel.num_mels, chunk, &mut plan);
    let mut backend = Cpu::new(&mut plan);
    model.load(&mut backend, hifigan(vocoder)).expect("weights");
    model.vocode_all(&mut backend, mel).expect("the CPU does not fail")
}

fn assert_close(name: &str, got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "{name}: samples");
    let off = got.iter().zip(expected).map(|(a, b)| if a.is_finite() { (a - b).abs() } else { f32::INFINITY });
    let (index, off) = off.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).expect("samples");
    println!("{name}: off by at most {off:e}");
    assert!(off <= tolerance, "{name}[{index}]: got {}, expected {}, tolerance {tolerance}", got[index], expected[index]);
}

fn primal(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_primal-host")).args(arguments).output().expect("primal-host runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Imports a fixture; the file, and what the command said.
fn import(folder: &Path, name: &str, config: Option<&str>, more: &[&str]) -> (PathBuf, String) {
    let (from, to) = (fixture(name), folder.join(format!("{name}{}.safetensors", more.concat())));
    let config = config.map(fixture);
    let mut arguments = vec!["import", "hifigan", from.to_str().expect("UTF-8"), "--out", to.to_str().expect("UTF-8")];
    arguments.extend(config.iter().flat_map(|path| ["--config", path.to_str().expect("UTF-8")]));
    arguments.extend(more);
    let (code, out, err) = primal(&arguments);
    assert_eq!(code, Some(0), "{name}: {err}");
    (to, out)
}

/// Every generator of the fixtures, by the name of its reference.
fn generators() -> Vec<(&'static str, Vocoder)> {
    let folder = tempfile::tempdir().expect("a folder");
    let imported = CHECKPOINTS.into_iter().map(|(name, config, reference)| {
        let (path, _) = import(folder.path(), name, config, &[]);
        (reference, Vocoder::open(path).expect("an imported vocoder"))
    });
    let v2 = Vocoder::open(fixture("v2.safetensors")).expect("a vocoder");
    imported.chain([("v2", v2)]).collect()
}

#[test]
fn samples_are_those_of_pytorch() {
    for (name, vocoder) in generators() {
        let (mel, audio) = references(name);
        assert!(audio.iter().any(|sample| sample.abs() > 0.1), "{name}: a reference that is near silence tells nothing");
        assert_close(name, &synthesise(&vocoder, &mel, 64), &audio, AUDIO);
    }
}

#[test]
fn chunks_of_any_size_give_the_samples_of_the_whole() {
    for (name, vocoder) in generators() {
        let (mel, _) = references(name);
        let frames = mel.len() / vocoder.mel.num_mels;
        // Utterances shorter than what a sample depends on, too.
        for frames in [1, 3, frames] {
            let mel = &mel[..frames * vocoder.mel.num_mels];
            let whole = synthesise(&vocoder, mel, frames);
            for chunk in [1, 5, 13] {
                assert_close(&format!("{name}, {frames} frames, chunks of {chunk}"), &synthesise(&vocoder, mel, chunk), &whole, CHUNKS);
            }
        }
    }
}

#[test]
fn memory_and_work_depend_on_the_chunk_and_not_on_the_utterance() {
    let vocoder = Vocoder::open(fixture("v2.safetensors")).expect("a vocoder");
    let convolutions = hifigan(&vocoder).config.convolutions(vocoder.mel.num_mels);
    let largest = Window::largest(&convolutions, 10);
    for (frames, start) in [(10, 0), (11, 10), (1_000_000, 0), (1_000_000, 500_000), (1_000_000, 999_990)] {
        let window = Window::new(&convolutions, start..(start + 10).min(frames), frames);
        assert!(window.frames.len() <= largest.frames.len(), "{window:?}");
        for (rows, most) in window.stages.iter().zip(&largest.stages) {
            let lengths = [&rows.inputs, &rows.blocks, &rows.outputs].map(|rows| rows.len());
            let most = [&most.inputs, &most.blocks, &most.outputs].map(|rows| rows.len());
            assert!(lengths.iter().zip(&most).all(|(len, most)| len <= most), "{lengths:?} of at most {most:?}");
        }
    }
}

#[test]
fn a_failing_sink_ends_the_synthesis() {
    let vocoder = Vocoder::open(fixture("v2.safetensors")).expect("a vocoder");
    let (mel, _) = references("v2");
    let mut plan = Plan::default();
    let model = Hifigan::plan(&hifigan(&vocoder).config, 80, 10, &mut plan);
    let mut backend = Cpu::new(&mut plan);
    model.load(&mut backend, hifigan(&vocoder)).expect("weights");
    let mut chunks = Vec::new();
    let result: Result<()> = model.vocode(&mut backend, &mel, |samples| {
        chunks.push(samples.len());
        if chunks.len() == 2 { Err(primal_host::Error::failed("full", "free some")) } else { Ok(()) }
    });
    assert_eq!(result.expect_err("an error").to_string(), "full\n  hint: free some");
    assert_eq!(chunks, [2560, 2560]);
}

#[test]
fn imports_keep_what_they_were_told_and_say_what_they_took() {
    let folder = tempfile::tempdir().expect("a folder");
    let (zip, said) = import(folder.path(), "generator_v3", None, &["--license", "CC0"]);
    assert!(said.contains("published model") && said.contains("[8, 8, 4]"), "{said}");
    let (legacy, _) = import(folder.path(), "generator_v3_legacy", None, &[]);
    let [zip, legacy] = [zip, legacy].map(|path| Vocoder::open(path).expect("a vocoder"));
    assert_eq!(zip.metadata()["license"], "CC0");
    assert_eq!(zip.metadata()["imported_from"], "generator_v3");
    let convolutions = hifigan(&zip).config.convolutions(80);
    for layer in 0..convolutions.all.len() {
        assert_eq!(
            hifigan(&zip).weights(&convolutions, layer).expect("values"),
            hifigan(&legacy).weights(&convolutions, layer).expect("values")
        );
    }
    let (brain, said) = import(folder.path(), "generator.ckpt", Some("speechbrain.json"), &[]);
    assert!(said.contains("reflect") && said.contains("speechbrain.json"), "{said}");
    assert_eq!(Vocoder::open(brain).expect("a vocoder").hifigan().expect("HiFi-GAN").config.padding, Padding::Reflect);
}

#[test]
fn a_generator_in_safetensors_is_imported_whatever_it_says_of_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let (own, said) = import(folder.path(), "v2.safetensors", None, &[]);
    assert!(said.contains("configuration: that of "), "{said}");
    // Tensors alone, under the names of a checkpoint of training.
    let Parts { tensors, .. } = Parts::of(fixture("v2.safetensors"));
    let bare = Parts {
        tensors: tensors.into_iter().map(|(name, tensor)| (format!("generator.{name}"), tensor)).collect(),
        metadata: HashMap::new(),
    };
    let (from, to) = (folder.path().join("bare"), folder.path().join("bare.safetensors"));
    fs::write(&from, bare.bytes()).expect("written");
    let (code, said, err) = primal(&["import", "hifigan", from.to_str().expect("UTF-8"), "--out", to.to_str().expect("UTF-8")]);
    assert!(code == Some(0) && said.contains("published model"), "{said}{err}");
    let [expected, own, bare] = [fixture("v2.safetensors"), own, to].map(|path| Vocoder::open(path).expect("a vocoder"));
    for vocoder in [own, bare] {
        assert_eq!((&hifigan(&vocoder).config, &vocoder.mel), (&hifigan(&expected).config, &expected.mel));
        let convolutions = hifigan(&expected).config.convolutions(80);
        for layer in 0..convolutions.all.len() {
            assert_eq!(
                hifigan(&vocoder).weights(&convolutions, layer).expect("values"),
                hifigan(&expected).weights(&convolutions, layer).expect("values")
            );
        }
    }
}

#[test]
fn halves_take_half_the_room_and_sound_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let (half, _) = import(folder.path(), "odd.pt", Some("odd.json"), &["--half"]);
    let (full, _) = import(folder.path(), "odd.pt", Some("odd.json"), &[]);
    let size = |path: &Path| {
        let bytes = fs::read(path).expect("a file");
        bytes.len() - 8 - u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize
    };
    assert_eq!(2 * size(&half), size(&full));
    let (mel, audio) = references("odd");
    let vocoder = Vocoder::open(&half).expect("a vocoder");
    assert_close("halves", &synthesise(&vocoder, &mel, 64), &audio, AUDIO_OF_HALVES);
}

#[test]
fn files_that_are_no_vocoder_are_refused_by_what_is_wrong_with_them() {
    type Change = fn(&mut Parts);
    let config = |parts: &mut Parts, from: &str, to: &str| {
        let changed = parts.metadata["config"].replace(from, to);
        assert_ne!(changed, parts.metadata["config"]);
        parts.metadata.insert("config".into(), changed);
    };
    let cases: [(Change, &[&str]); 11] = [
        (|p| drop(p.tensors.remove("ups.1.bias")), &["`ups.1.bias` [8]", "none"]),
        (|p| p.tensors.retain(|name, _| name.ends_with("weight")), &["`conv_pre.bias` [32]", "and 74 more"]),
        (|p| drop(p.tensors.insert("mpd.weight".into(), p.tensors["conv_post.bias"].clone())), &["`mpd.weight` besides"]),
        (|p| p.tensors.get_mut("conv_pre.weight").expect("there").1 = vec![32, 7, 80], &["[32, 80, 7]", "[32, 7, 80]"]),
        (|p| p.tensors.get_mut("conv_pre.weight").expect("there").0 = Dtype::I32, &["`conv_pre.weight`", "I32"]),
        (|p| drop(p.metadata.remove("architecture")), &["`architecture` = hifigan"]),
        (|p| drop(p.metadata.remove("mel")), &["metadata `mel`"]),
        (|p| drop(p.metadata.insert("config".into(), "{".into())), &["metadata `config`", "EOF"]),
        (|p| drop(p.metadata.insert("mel".into(), p.metadata["mel"].replace("256", "128"))), &["hop size, 128", "[8, 8, 2, 2]"]),
        (|p| drop(p.metadata.insert("mel".into(), p.metadata["mel"].replace("80,", "60,"))), &["`conv_pre.weight` [32, 60, 7]"]),
        (|p| drop(p.metadata.insert("mel".into(), p.metadata["mel"].replace("8000", "80000"))), &["fmax"]),
    ];
    for (change, expected) in cases {
        let mut parts = Parts::of(fixture("v2.safetensors"));
        change(&mut parts);
        let error = Vocoder::from_bytes("voice", &parts.bytes()).expect_err("a file to be refused");
        assert_eq!(error.exit_code(), 2);
        let message = error.to_string();
        assert!(expected.iter().all(|part| message.contains(part)), "expected {expected:?} in: {message}");
    }
    let shapes = [
        ("[8, 8, 2, 2]", "[8, 8, 4]", "3 `upsample_kernel_sizes`"),
        ("[8, 8, 2, 2]", "[8, 0, 2, 2]", "`upsample_rates` from 1"),
        ("[8, 8, 2, 2]", "[32, 2, 2, 2]", "its rate, 32"),
        ("[16, 16, 4, 4]", "[16, 15, 4, 4]", "found 15"),
        ("[3, 7, 11]", "[3, 6, 11]", "odd `resblock_kernel_sizes`"),
        ("[3, 7, 11]", "[3, 7]", "2 `resblock_dilation_sizes`"),
        ("[[1, 3, 5], ", "[[], ", "`resblock_dilation_sizes` with a value"),
        ("\"1\"", "\"3\"", "resblock"),
        ("channel\": 32", "channel\": 40", "`upsample_initial_channel` that 4 stages"),
        ("channel\": 32", "channel\": 64", "`conv_pre.weight` [64, 80, 7]"),
        ("channel\": 32", "channel\": 18446744073709551615", "`upsample_initial_channel` from 1"),
    ];
    for (from, to, expected) in shapes {
        let mut parts = Parts::of(fixture("v2.safetensors"));
        config(&mut parts, from, to);
        let message = Vocoder::from_bytes("voice", &parts.bytes()).expect_err("a configuration to be refused").to_string();
        assert!(message.contains(expected), "expected {expected:?} in: {message}");
    }
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let mut parts = Parts::of(fixture("v2.safetensors"));
    parts.tensors.get_mut("ups.2.weight").expect("there").2[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = Vocoder::from_bytes("voice", &parts.bytes()).expect_err("a value to be refused");
    assert!(error.to_string().contains("`ups.2.weight`") && error.exit_code() == 2, "{error}");
}

#[test]
fn cut_and_foreign_files_are_refused_and_changed_ones_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, _) = import(folder.path(), "generator_v3", None, &[]);
    let whole = fs::read(&path).expect("a file");
    for len in [0, 1, 7, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..len]).expect("written");
        let error = Vocoder::open(&path).expect_err("a cut file");
        assert_eq!(error.exit_code(), 2, "{len} bytes: {error}");
    }
    for at in [whole.len() - 1, whole.len() / 2, 200] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&path, changed).expect("written");
        let error = Vocoder::open(&path).expect_err("a changed file");
        assert_eq!(error.exit_code(), 2, "byte {at}: {error}");
    }
    for name in ["make.py", "generator_v3", "odd.json"] {
        assert_eq!(Vocoder::open(fixture(name)).expect_err("a foreign file").exit_code(), 2, "{name}");
    }
    assert_eq!(Vocoder::open(folder.path()).expect_err("a folder").exit_code(), 2);
    assert_eq!(Vocoder::open(folder.path().join("none")).expect_err("nothing").exit_code(), 2);
}

#[test]
fn imports_refuse_what_is_no_generator_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    };
    // What `pickle.load` would run: os.system("touch …").
    let script = format!("touch {}", trace.display());
    let text = |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let call = [b"cposix\nsystem\n".as_slice(), &text(&script), b"\x85R"].concat();
    let alone = [b"\x80\x02", call.as_slice(), b"."].concat();
    let inside = [b"\x80\x02}", text("generator").as_slice(), b"}", &text("conv_pre.weight"), &call, b"ss."].concat();
    let zip = fs::read(fixture("generator_v3")).expect("a fixture");
    let cut = put("cut", &zip[..zip.len() / 2]);
    let mut flipped = zip.clone();
    let at = flipped.len() / 3;
    flipped[at] ^= 0x10;
    let cases: Vec<(PathBuf, Option<PathBuf>, &str)> = vec![
        (put("alone", &alone), None, "PyTorch checkpoint"),
        (put("inside", &inside), None, "a generator"),
        (put("empty", b""), None, "PyTorch checkpoint"),
        (put("text", b"not a checkpoint at all"), None, "PyTorch checkpoint"),
        (cut, None, "PyTorch checkpoint"),
        (put("flipped", &flipped), None, "flipped"),
        (fixture("references.safetensors"), None, "a generator"),
        (folder.path().into(), None, "a folder"),
        (folder.path().join("none"), None, "reading"),
        (fixture("odd.pt"), None, "--config"),
        (fixture("odd.pt"), Some(fixture("speechbrain.json")), "conv_pre.weight"),
        (fixture("generator_v3"), Some(fixture("odd.json")), "conv_pre.weight"),
        (fixture("odd.pt"), Some(fixture("make.py")), "in JSON"),
        (fixture("odd.pt"), Some(put("few.json", b"{\"resblock\": \"1\"}")), "upsample_rates"),
    ];
    let out = folder.path().join("out.safetensors");
    for (file, config, expected) in cases {
        let mut arguments = vec!["import", "hifigan", file.to_str().expect("UTF-8"), "--out", out.to_str().expect("UTF-8")];
        arguments.extend(config.iter().flat_map(|path| ["--config", path.to_str().expect("UTF-8")]));
        let (code, said, message) = primal(&arguments);
        assert_eq!((code, said.as_str()), (Some(2), ""), "{arguments:?}: {message}");
        assert!(message.contains(expected) && message.contains("hint"), "expected {expected:?} in: {message}");
        assert!(!out.exists() && !trace.exists(), "{arguments:?} wrote something");
    }
    let unwritable = folder.path().join("none/out.safetensors");
    let file = fixture("generator_v3");
    let (code, _, message) = primal(&["import", "hifigan", file.to_str().expect("UTF-8"), "--out", unwritable.to_str().expect("UTF-8")]);
    assert_eq!(code, Some(2), "{message}");
}

#[test]
fn the_command_resynthesises_a_wav() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (vocoder, _) = import(folder.path(), "generator_v3", None, &[]);
    let tone: Vec<f32> = (0..30_000).map(|i| 0.3 * (i as f32 * 0.05).sin()).collect();
    sound::write(Path::new(&at("in.wav")), 22_050, &tone).expect("written");
    let vocoder = vocoder.display().to_string();
    let (code, out, err) = primal(&["vocode", "--input", &at("in.wav"), "--output", &at("out.wav"), "--vocoder", &vocoder, "--json"]);
    assert_eq!(code, Some(0), "{err}");
    let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let samples = sound::read(Path::new(&at("out.wav")), 22_050).expect("a WAV");
    assert_eq!(samples.len(), 30_000 / 256 * 256);
    assert_eq!(report["seconds"], samples.len() as f64 / 22_050.0);
    assert!(report["real_time_factor"].as_f64() > Some(0.0) && report["first_audio"].as_f64() > Some(0.0), "{report}");
    sound::write(Path::new(&at("short.wav")), 22_050, &tone[..200]).expect("written");
    sound::write(Path::new(&at("slow.wav")), 16_000, &tone).expect("written");
    for (input, output, code) in
        [("short.wav", "no.wav", 2), ("slow.wav", "no.wav", 2), ("none.wav", "no.wav", 2), ("in.wav", "none/no.wav", 2)]
    {
        let (found, _, message) = primal(&["vocode", "--input", &at(input), "--output", &at(output), "--vocoder", &vocoder]);
        assert_eq!(found, Some(code), "{input}: {message}");
        assert!(!Path::new(&at(output)).exists(), "{input}");
    }
}

/// `PRIMAL_VOICE=FOLDER cargo test -p primal-host --test vocoder -- --ignored`: the references that came with the voice.
#[test]
#[ignore = "needs the folder of the voice, named by PRIMAL_VOICE"]
fn samples_of_the_voice_are_those_of_pytorch() {
    let folder = PathBuf::from(std::env::var_os("PRIMAL_VOICE").expect("PRIMAL_VOICE"));
    let path = folder.join("vocoder_reference.safetensors");
    let bytes = fs::read(&path).expect("the references");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let metadata = SafeTensors::read_metadata(&bytes).expect("a header").1.metadata().clone().expect("metadata");
    let small = |name: &str| {
        let metadata = ["hifigan", &metadata[&format!("{name}_config")], &metadata["mel"]].map(String::from);
        let metadata = ["architecture", "config", "mel"].map(String::from).into_iter().zip(metadata).collect();
        let prefix = format!("{name}.weights.");
        let tensors = file.tensors().into_iter().filter_map(|(name, view)| Some((name.strip_prefix(&prefix)?.to_string(), view)));
        Vocoder::from_bytes(name, &serialize(tensors, Some(metadata)).expect("safetensors")).expect("a vocoder")
    };
    let v3 = Vocoder::open(folder.join("hifigan_v3_slt.safetensors")).expect("a vocoder");
    for (name, vocoder) in [("v1", small("v1")), ("v2", small("v2")), ("v3", v3)] {
        for utterance in 0..3 {
            let name = format!("{name}.{utterance}");
            let (mel, audio) = reference(&path, &name);
            assert_close(&name, &synthesise(&vocoder, &mel, 48), &audio, AUDIO);
        }
    }
}
