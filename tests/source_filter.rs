//! The source-filter vocoder as a whole: what PyTorch computed with the same weights, chunks and threads of any number, the grid, the commands, bad files.
//!
//! `fixtures/source_filter/make.py` made the weights and what PyTorch computed with them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use primal_engine::backend::cpu::Cpu;
use primal_engine::files;
use primal_engine::memory::Plan;
use primal_engine::models::source_filter::{Given, SourceFilter, VocoderFile};
use primal_host::sound;
use primal_host::voice::Vocoder;
use primal_speech::pitch::PitchTracker;
use safetensors::{Dtype, SafeTensors};

#[path = "vocoder/parts.rs"]
mod parts;
#[path = "tts/tiny.rs"]
mod tiny;
use parts::Parts;
use tiny::Tiny;

/// Samples may differ by this from those of 64-bit floats.
const AUDIO: f32 = 2e-5;
/// F0 may differ by this part.
const PITCH: f32 = 1e-5;
/// Bands of a frame, and its samples.
const BANDS: usize = 80;
const HOP: usize = 256;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/source_filter").join(name)
}

/// The tensors of a file of floats.
struct Reference(BTreeMap<String, Vec<f32>>);

impl Reference {
    fn open(path: &Path) -> Self {
        let bytes = fs::read(path).expect("the reference");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let floats = |data: &[u8]| data.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four bytes"))).collect();
        Self(file.tensors().into_iter().map(|(name, view)| (name, floats(view.data()))).collect())
    }

    fn small() -> Self {
        Self::open(&fixture("reference.safetensors"))
    }

    /// The first frames of what the sound was made of.
    fn given(&self, frames: usize) -> (&[f32], Given<'_>) {
        let Self(tensors) = self;
        let given = Given { f0: Some(&tensors["f0"][..frames]), noise: Some(&tensors["noise"][..frames * HOP]) };
        (&tensors["mel"][..frames * BANDS], given)
    }

    fn frames(&self) -> usize {
        self.0["f0"].len()
    }
}

fn primal(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_primal-host")).args(arguments).output().expect("primal-host runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Imports what was exported; the file, and what the command said.
fn import(folder: &Path, from: &Path, grid: &str) -> (PathBuf, String) {
    let to = folder.join(format!("{grid}.safetensors"));
    let (code, out, err) =
        primal(&["import", "source-filter", from.to_str().expect("UTF-8"), "--out", to.to_str().expect("UTF-8"), "--grid", grid]);
    assert_eq!(code, Some(0), "{err}");
    (to, out)
}

fn open(path: &Path) -> VocoderFile {
    VocoderFile::new(files::open(path).expect("a file")).expect("a vocoder")
}

/// The fixture on a grid.
fn small(grid: &str) -> VocoderFile {
    let folder = tempfile::tempdir().expect("a folder");
    open(&import(folder.path(), &fixture("exported.safetensors"), grid).0)
}

fn prepare(vocoder: &VocoderFile, chunk: usize) -> (SourceFilter, Cpu) {
    let mut plan = Plan::default();
    let model = SourceFilter::plan(vocoder, chunk, &mut plan).expect("its own weights");
    let mut backend = Cpu::new(&mut plan);
    model.load(&mut backend, vocoder).expect("weights");
    (model, backend)
}

fn synthesise(vocoder: &VocoderFile, mel: &[f32], given: Given, chunk: usize) -> Vec<f32> {
    let (model, mut backend) = prepare(vocoder, chunk);
    model.vocode_all(&mut backend, mel, given).expect("the CPU does not fail")
}

fn assert_close(name: &str, got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "{name}: values");
    let off = got.iter().zip(expected).map(|(a, b)| if a.is_finite() { (a - b).abs() } else { f32::INFINITY });
    let (index, off) = off.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).expect("values");
    println!("{name}: off by at most {off:e}");
    assert!(off <= tolerance, "{name}[{index}]: got {}, expected {}, tolerance {tolerance}", got[index], expected[index]);
}

/// Compares sound and F0 with a reference.
fn compare(vocoder: &VocoderFile, reference: &Reference) {
    let frames = reference.frames();
    let (mel, given) = reference.given(frames);
    let audio = &reference.0["audio"];
    assert!(audio.iter().any(|sample| sample.abs() > 0.05), "a reference that is near silence tells nothing");
    assert_close("samples", &synthesise(vocoder, mel, given, 64), audio, AUDIO);
    let (model, mut backend) = prepare(vocoder, frames);
    let octaves = |f0: &[f32]| f0.iter().map(|hz| hz.log2()).collect::<Vec<_>>();
    assert_close(
        "octaves",
        &octaves(&model.f0(&mut backend, mel).expect("the CPU does not fail")),
        &octaves(&reference.0["found_f0"]),
        PITCH,
    );
}

#[test]
fn samples_and_f0_are_those_of_pytorch() {
    compare(&small("float"), &Reference::small());
}

#[test]
fn chunks_of_any_size_give_the_bits_of_the_whole() {
    let reference = Reference::small();
    for grid in ["float", "uniform15"] {
        let vocoder = small(grid);
        // Utterances shorter than what a sample depends on, too.
        for frames in [1, 2, 3, 9, reference.frames()] {
            let (mel, given) = reference.given(frames);
            for given in [given, Given::default()] {
                let whole = synthesise(&vocoder, mel, given, frames);
                for chunk in [1, 2, 5, 13, 64] {
                    let parts = synthesise(&vocoder, mel, given, chunk);
                    assert!(parts == whole, "{grid}: {frames} frames in chunks of {chunk} are not those of the whole");
                }
            }
        }
    }
}

#[test]
fn samples_depend_on_no_mel_beyond_the_look_ahead() {
    let (vocoder, reference) = (small("float"), Reference::small());
    let frames = reference.frames();
    let (mel, _) = reference.given(frames);
    let whole = synthesise(&vocoder, mel, Given::default(), 64);
    let look_ahead = vocoder.config.look_ahead();
    let changed_at = 24;
    let mut changed = mel.to_vec();
    changed[changed_at * BANDS..].iter_mut().for_each(|value| *value += 1.0);
    let changed = synthesise(&vocoder, &changed, Given::default(), 64);
    let first = whole.iter().zip(&changed).position(|(a, b)| a != b).expect("a difference") / HOP;
    assert_eq!(
        first,
        changed_at - look_ahead,
        "the first frame that a change of frame {changed_at} shows in, by a look-ahead of {look_ahead}"
    );
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (vocoder, reference) = (small("uniform15"), Reference::small());
    let (mel, _) = reference.given(reference.frames());
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| synthesise(&vocoder, mel, Given::default(), 64))
    };
    let one = with(1);
    assert!(one.iter().any(|sample| sample.abs() > 0.01));
    for threads in [2, 3, 7] {
        assert!(with(threads) == one, "{threads} threads");
    }
}

#[test]
fn a_failing_sink_ends_the_synthesis() {
    let (vocoder, reference) = (small("float"), Reference::small());
    let (mel, _) = reference.given(40);
    let (model, mut backend) = prepare(&vocoder, 10);
    let mut chunks = Vec::new();
    let result = model.vocode(&mut backend, mel, |samples| {
        chunks.push(samples.len());
        if chunks.len() == 2 { Err(primal_host::Error::failed("full", "free some")) } else { Ok(()) }
    });
    assert_eq!(result.expect_err("an error").to_string(), "full\n  hint: free some");
    assert_eq!(chunks, [2560, 2560]);
}

#[test]
fn the_grid_takes_a_seventh_of_the_room_and_sounds_alike() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, said) = import(folder.path(), &fixture("exported.safetensors"), "uniform16");
    assert!(said.contains("on uniform16, signal to error 2") && said.contains("s ahead"), "{said}");
    let (float, said) = import(folder.path(), &fixture("exported.safetensors"), "float");
    assert!(said.contains("in floats"), "{said}");
    let reference = Reference::small();
    let (mel, given) = reference.given(reference.frames());
    let [grid, float] = [path, float].map(|path| synthesise(&open(&path), mel, given, 64));
    let power = |values: &mut dyn Iterator<Item = f32>| values.map(|value| f64::from(value * value)).sum::<f64>();
    let ratio = power(&mut float.iter().copied()) / power(&mut float.iter().zip(&grid).map(|(a, b)| a - b));
    // Of random weights, four bits leave some 20 dB, and filters are exponentials of what they give.
    assert!(ratio > 10.0 && grid != float, "signal to error {ratio}");
}

#[test]
fn the_commands_take_it_as_any_vocoder() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (vocoder, _) = import(folder.path(), &fixture("exported.safetensors"), "uniform15");
    let vocoder = vocoder.display().to_string();
    let tone: Vec<f32> = (0..30_000).map(|i| 0.3 * (i as f32 * 0.05).sin()).collect();
    sound::write(Path::new(&at("in.wav")), 22_050, &tone).expect("written");
    let mut files = Vec::new();
    for (output, threads) in [("one.wav", "1"), ("two.wav", "2")] {
        let (code, out, err) =
            primal(&["vocode", "--input", &at("in.wav"), "--output", &at(output), "--vocoder", &vocoder, "--threads", threads, "--json"]);
        assert_eq!(code, Some(0), "{err}");
        let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(report["seconds"], (30_000 / HOP * HOP) as f64 / 22_050.0);
        files.push(fs::read(at(output)).expect("a WAV"));
    }
    assert!(files[0] == files[1], "the same mel, the same bytes");
    let (code, out, err) = primal(&["info", &vocoder]);
    assert!(code == Some(0) && out.starts_with("a source-filter vocoder\n") && out.contains("every checksum is right"), "{out}{err}");
    // What training exported is no vocoder to run, but a file of tensors.
    let exported = fixture("exported.safetensors").display().to_string();
    let (code, _, err) = primal(&["vocode", "--input", &at("in.wav"), "--output", &at("no.wav"), "--vocoder", &exported]);
    assert!(code == Some(2) && err.contains("primal-host import source-filter"), "{err}");
    let (code, out, err) = primal(&["info", &exported]);
    assert!(code == Some(0) && out.contains("pitch.convs.0.weight"), "{out}{err}");
}

#[test]
fn a_voice_with_it_is_as_many_semitones_higher_as_it_is_told() {
    /// Of what is asked for.
    const SEMITONES: f32 = 0.5;
    let tiny = Tiny::new();
    let at = |name: &str| tiny.folder.path().join(name);
    // Nothing but harmonics: what is measured is F0.
    let mut parts = Parts::of(fixture("exported.safetensors"));
    let noise: Vec<u8> =
        (0..2 * 3 * 257).flat_map(|row| half::f16::from_f32(if row / 257 % 3 == 2 { -20.0 } else { 0.0 }).to_le_bytes()).collect();
    parts.tensors.get_mut("head.bias").expect("there").2 = noise;
    parts.tensors.get_mut("head.weight").expect("there").2.fill(0);
    fs::write(at("exported"), parts.bytes()).expect("written");
    let (vocoder, _) = import(tiny.folder.path(), &at("exported"), "float");
    let (code, _, err) = tiny.export(&vocoder, &at("sung"));
    assert_eq!(code, Some(0), "{err}");
    let (voice, wav) = (at("sung").display().to_string(), at("a.wav").display().to_string());
    let f0 = |semitones: &str| {
        let text = "The ghost in the machine is singing.";
        let (code, _, err) = primal(&["tts", "--voice", &voice, "--text", text, "--pitch", semitones, "--output", &wav]);
        assert_eq!(code, Some(0), "{err}");
        let mut reader = hound::WavReader::open(&wav).expect("a WAV");
        let samples: Vec<f32> = reader.samples::<i16>().map(|sample| f32::from(sample.expect("a sample")) / 32768.0).collect();
        PitchTracker::new(22_050, HOP).track(&samples)
    };
    let plain = f0("0");
    for (flag, semitones) in [("4", 4.0), ("-4", -4.0)] {
        let other = f0(flag);
        assert_eq!(other.len(), plain.len(), "{flag}: frames");
        let voiced = plain.iter().zip(&other).filter(|(a, b)| **a > 0.0 && **b > 0.0);
        let mut higher: Vec<f32> = voiced.map(|(a, b)| 12.0 * (b / a).log2()).collect();
        assert!(higher.len() > plain.len() / 2, "{flag}: {} of {} frames have a pitch", higher.len(), plain.len());
        higher.sort_by(f32::total_cmp);
        let median = higher[higher.len() / 2];
        println!("{flag} semitones: {median} in {} of {} frames", higher.len(), plain.len());
        assert!((median - semitones).abs() < SEMITONES, "{flag} semitones: {median} are heard");
    }
}

#[test]
fn f0_in_chunks_is_that_of_the_whole() {
    let (vocoder, reference) = (small("float"), Reference::small());
    let (mel, _) = reference.given(reference.frames());
    let of = |chunk: usize| {
        let (model, mut backend) = prepare(&vocoder, chunk);
        model.f0(&mut backend, mel).expect("the CPU does not fail")
    };
    let whole = of(reference.frames());
    for chunk in [1, 5, 64] {
        assert!(of(chunk) == whole, "chunks of {chunk}");
    }
}

#[test]
fn imports_refuse_what_is_no_such_vocoder_and_leave_nothing_behind() {
    type Change = fn(&mut Parts);
    fn config(parts: &mut Parts, from: &str, to: &str) {
        let changed = parts.metadata["config"].replace(from, to);
        assert_ne!(changed, parts.metadata["config"]);
        parts.metadata.insert("config".into(), changed);
    }
    let cases: [(Change, &str); 15] = [
        (|p| drop(p.tensors.remove("blocks.1.down.bias")), "`blocks.1.down.bias`"),
        (|p| drop(p.tensors.remove("blocks.1.scale")), "`blocks.1.scale`"),
        (|p| drop(p.tensors.insert("mpd.weight".into(), p.tensors["norm.bias"].clone())), "`mpd.weight` besides"),
        (|p| p.tensors.get_mut("pre.weight").expect("there").1 = vec![16, 3, 81], "[16, 81, 3]"),
        (|p| p.tensors.get_mut("norm.bias").expect("there").0 = Dtype::I16, "of floats"),
        (|p| p.tensors.get_mut("head.weight").expect("there").2[..2].copy_from_slice(&[0, 0x7e]), "NaN"),
        (|p| drop(p.metadata.remove("architecture")), "as its training exported it"),
        (|p| drop(p.metadata.remove("config")), "metadata `config`"),
        (|p| drop(p.metadata.insert("mel".into(), "another".into())), "metadata `mel`"),
        (|p| config(p, "minimum", "free"), "`free`"),
        (|p| config(p, "\"kernel\": 3", "\"kernel\": 4"), "an odd `kernel`"),
        (|p| config(p, "\"kernel\": 3", "\"kernel\": 5"), "[16, 81, 5]"),
        (|p| config(p, "\"blocks\": 2", "\"blocks\": 0"), "`blocks` from 1"),
        (|p| config(p, "\"blocks\": 2", "\"blocks\": 3"), "`blocks.2."),
        (|p| config(p, "\"channels\": 16", "\"channels\": 99999"), "`channels` from 1"),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    for (i, (change, expected)) in cases.into_iter().enumerate() {
        let mut parts = Parts::of(fixture("exported.safetensors"));
        change(&mut parts);
        fs::write(at("in.safetensors"), parts.bytes()).expect("written");
        let (code, _, err) = primal(&["import", "source-filter", &at("in.safetensors"), "--out", &at("out.safetensors")]);
        assert!(code == Some(2) && err.contains(expected) && err.contains("hint"), "case {i}: expected {expected:?} in: {err}");
        assert!(!Path::new(&at("out.safetensors")).exists(), "case {i} wrote something");
    }
    let exported = fixture("exported.safetensors").display().to_string();
    let (code, _, err) = primal(&["import", "source-filter", &exported, "--out", &at("out.safetensors"), "--grid", "prime17"]);
    assert!(code == Some(2) && err.contains("--grid") && err.contains("float"), "{err}");
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, _) = import(folder.path(), &fixture("exported.safetensors"), "uniform15");
    let whole = fs::read(&path).expect("a file");
    for len in [0, 8, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..len]).expect("written");
        assert_eq!(Vocoder::open(&path).expect_err("a cut file").exit_code(), 2, "{len} bytes");
    }
    for at in [200, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&path, changed).expect("written");
        assert_eq!(Vocoder::open(&path).expect_err("a changed file").exit_code(), 2, "byte {at}");
    }
}

/// `PRIMAL_EXPORTED=FILE PRIMAL_REFERENCE=FILE cargo test -p primal-host --test source_filter -- --ignored`: what training exported, and what `make.py`
/// wrote of it.
#[test]
#[ignore = "needs a vocoder and its reference, named by PRIMAL_EXPORTED and PRIMAL_REFERENCE"]
fn samples_of_real_weights_are_those_of_pytorch() {
    let [exported, reference] = ["PRIMAL_EXPORTED", "PRIMAL_REFERENCE"].map(|name| PathBuf::from(std::env::var_os(name).expect(name)));
    let folder = tempfile::tempdir().expect("a folder");
    compare(&open(&import(folder.path(), &exported, "float").0), &Reference::open(&reference));
}
