use std::fs;
use std::path::Path;

use approx::assert_abs_diff_eq;
use serde_json::{Value, json};

use super::super::speech_batch::{SpeechBatches, SpeechLimits, heldout_batches};
use super::*;
use crate::sound;

const HOP: usize = 256;

/// A voiced, an unvoiced and a silent stretch, each of `frames` frames.
fn sound(frames: usize, hz: f32) -> Vec<f32> {
    let len = frames * HOP;
    let buzz = (0..len).map(|at| {
        let phase = at as f32 * hz / 22_050.0 * std::f32::consts::TAU;
        (1..6).map(|k| (phase * k as f32).sin()).sum::<f32>() * 0.1
    });
    let hiss = (0..len as u64).map(|at| (xxh3_64(&at.to_le_bytes()) as f32 / u64::MAX as f32 - 0.5) * 0.05);
    buzz.chain(hiss).chain(std::iter::repeat_n(0.0, len)).collect()
}

fn line(id: &str, frames: usize) -> Value {
    json!({"id": id, "text": "Ah.", "phones": ["AA1", "S", "SIL"], "durations_frames": [frames, frames, frames], "n_frames": 3 * frames,
           "wav": format!("wavs/{id}.wav"), "words": ["ah"]})
}

/// Twelve training utterances of 150 to 315 Hz, and two held out.
fn write_corpus(folder: &Path) {
    fs::create_dir_all(folder.join("wavs")).unwrap();
    for (file, count) in [("train", 12), ("heldout", 2)] {
        let lines: Vec<String> = (0..count)
            .map(|index| {
                let (id, frames) = (format!("{file}_{index}"), 12 + index);
                sound::write(&folder.join(format!("wavs/{id}.wav")), 22_050, &sound(frames, 150.0 + 15.0 * index as f32)).unwrap();
                line(&id, frames).to_string()
            })
            .collect();
        fs::write(folder.join(format!("{file}.jsonl")), lines.join("\n") + "\n").unwrap();
    }
}

fn open(folder: &Path) -> Result<SpeechCorpus> {
    SpeechCorpus::open(folder, &MelSettings::default(), None)
}

#[test]
fn a_corpus_of_flac_has_as_many_samples_as_its_sounds_not_as_their_files() {
    let folder = tempfile::tempdir().unwrap();
    write_corpus(folder.path());
    let flac = include_bytes!("../../../tests/fixtures/sound/tone.flac");
    // 3,000 samples in fewer than two bytes each.
    assert!(flac.len() < 2 * 9 * HOP);
    fs::write(folder.path().join("wavs/train_0.wav"), flac).unwrap();
    let path = folder.path().join("train.jsonl");
    let lines = fs::read_to_string(&path).unwrap();
    let (_, others) = lines.split_once('\n').unwrap();
    let with = |frames: usize| fs::write(&path, format!("{}\n{others}", line("train_0", frames))).unwrap();
    with(3);
    let corpus = open(folder.path()).unwrap();
    assert_eq!(corpus.mel(&corpus.utterances(SpeechSplit::Train)[0]).len(), 9 * 80);
    with(4);
    let error = open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("train_0.wav") && error.contains("found 3000 samples"), "{error}");
}

#[test]
fn pitch_and_energy_are_those_of_the_sound() {
    let folder = tempfile::tempdir().unwrap();
    write_corpus(folder.path());
    let corpus = open(folder.path()).unwrap();
    let Statistics { log_f0, log_energy, mel } = corpus.statistics();
    for (index, utterance) in corpus.utterances(SpeechSplit::Train).iter().enumerate() {
        let hz = log_f0.restore(utterance.pitch[0]).exp();
        let expected = 150.0 + 15.0 * index as f32;
        assert!((hz / expected - 1.0).abs() < 0.01, "{}: {hz} Hz, expected {expected} Hz", utterance.id);
        // But for frames at the border that hear a little of the buzz.
        let pitch = &utterance.pitch;
        assert!((pitch[0] - pitch[2]).abs() < 0.05, "{}: unvoiced phones take the pitch of their neighbours: {pitch:?}", utterance.id);
        let [buzz, hiss, silence] = utterance.energy[..] else { panic!("{:?}", utterance.energy) };
        assert!(buzz > hiss && hiss > silence, "{:?}", utterance.energy);
        assert_eq!(corpus.mel(utterance).len(), utterance.frames * 80);
    }
    // The pauses do not count for the energy's statistics.
    let energies = corpus.utterances(SpeechSplit::Train).iter().flat_map(|utterance| &utterance.energy[..2]);
    assert_abs_diff_eq!(energies.clone().sum::<f32>(), 0.0, epsilon = 1e-3);
    assert!(log_energy.std > 0.0);
    assert_eq!(mel.len(), 80);
    assert!(corpus.describe().contains("12 utterances"), "{}", corpus.describe());
}

#[test]
fn batches_keep_to_their_limits() {
    let folder = tempfile::tempdir().unwrap();
    write_corpus(folder.path());
    let corpus = open(folder.path()).unwrap();
    let limits = SpeechLimits::of(&corpus, 100);
    assert_eq!(limits, SpeechLimits { utterances: 2, phones: 9, frames: 100, longest_phones: 3, longest_frames: 69 });
    let mut batches = SpeechBatches::new(&corpus, 1, 100).unwrap();
    for step in 0..40 {
        let batch = batches.at(step);
        let sum = |of: fn(&Utterance) -> usize| batch.iter().map(|&index| of(&corpus.utterances(SpeechSplit::Train)[index])).sum::<usize>();
        assert!(sum(|utterance| utterance.frames) <= limits.frames && sum(|utterance| utterance.phones.len()) <= limits.phones);
        assert!(batch.len() <= limits.utterances);
    }
    assert_eq!(heldout_batches(&corpus, 75).unwrap(), [[0, 1]]);
    assert_eq!(heldout_batches(&corpus, 74).unwrap(), [[0], [1]]);
    let error = SpeechBatches::new(&corpus, 1, 60).err().unwrap().to_string();
    assert!(error.contains("69 frames") && error.contains("train_11"), "{error}");
}

#[test]
fn features_are_cached_by_content() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_corpus(folder.path());
    let open = || SpeechCorpus::open(folder.path(), &MelSettings::default(), Some(cache.path())).unwrap();
    let files = || fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let same = |a: &SpeechCorpus, b: &SpeechCorpus| {
        let (mine, yours) = (a.utterances(SpeechSplit::HeldOut), b.utterances(SpeechSplit::HeldOut));
        a.statistics() == b.statistics()
            && a.fingerprint() == b.fingerprint()
            && mine.iter().zip(yours).all(|(x, y)| x.pitch == y.pitch && x.energy == y.energy && a.mel(x) == b.mel(y))
    };
    let first = open();
    let [path] = &files()[..] else { panic!("{:?}", files()) };
    let written = fs::metadata(path).unwrap().modified().unwrap();
    assert!(same(&first, &open()), "the cache differs");
    assert_eq!(fs::metadata(path).unwrap().modified().unwrap(), written, "a sound cache was written again");

    let good = fs::read(path).unwrap();
    for damage in [0, 9, 17, 25, 40, good.len() - 1, good.len()] {
        let mut bytes = good.clone();
        match bytes.get_mut(damage) {
            Some(byte) => *byte ^= 4,
            None => bytes.truncate(good.len() - 4),
        }
        fs::write(path, &bytes).unwrap();
        assert!(same(&first, &open()), "damage at {damage} went unnoticed");
        assert!(fs::read(path).unwrap() == good, "damage at {damage} was not repaired");
    }

    let louder: Vec<f32> = sound(12, 150.0).iter().map(|sample| sample * 1.5).collect();
    sound::write(&folder.path().join("wavs/train_0.wav"), 22_050, &louder).unwrap();
    assert!(!same(&first, &open()), "another sound, the same features");
    assert_eq!(files().len(), 2);
}

#[test]
fn features_do_not_depend_on_threads() {
    let folder = tempfile::tempdir().unwrap();
    write_corpus(folder.path());
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let corpus = pool.install(|| open(folder.path()).unwrap());
        let all = corpus.utterances(SpeechSplit::Train).iter();
        (corpus.statistics().clone(), all.flat_map(|utterance| [utterance.pitch.clone(), utterance.energy.clone()]).collect::<Vec<_>>())
    };
    assert!(with(1) == with(3), "1 and 3 threads differ");
}

#[test]
fn what_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let complaint = |parts: &[&str]| {
        let error = open(path).err().expect("an error");
        assert_eq!(error.exit_code(), 2, "{error}");
        for part in parts {
            assert!(error.to_string().contains(part), "{part:?} is not in: {error}");
        }
    };
    let missing = open(&path.join("none")).err().unwrap();
    assert!(missing.exit_code() == 2 && missing.to_string().contains("nothing there"), "{missing}");
    complaint(&["train.jsonl", "make_corpus.py"]);

    write_corpus(path);
    let good = fs::read_to_string(path.join("train.jsonl")).unwrap();
    let replace = |field: &str, value: Value| {
        let mut lines: Vec<String> = good.lines().map(String::from).collect();
        let mut line: Value = serde_json::from_str(&lines[4]).unwrap();
        line[field] = value;
        lines[4] = line.to_string();
        fs::write(path.join("train.jsonl"), lines.join("\n")).unwrap();
    };
    replace("phones", json!(["AA1", "QX", "SIL"]));
    complaint(&["train.jsonl:5", "\"QX\"", "train_4"]);
    replace("phones", json!(["AA1", "SIL"]));
    complaint(&["train.jsonl:5", "2 phones and 3 durations"]);
    replace("durations_frames", json!([1, 2, 3]));
    complaint(&["train.jsonl:5", "n_frames = 48", "sum of 6"]);
    replace("durations_frames", json!([16, 33, -1]));
    complaint(&["train.jsonl:5", "invalid value"]);
    replace("wav", json!("wavs/none.wav"));
    complaint(&["none.wav", "train_4"]);
    fs::write(path.join("train.jsonl"), good.replacen("{", "", 1)).unwrap();
    complaint(&["train.jsonl:1"]);
    fs::write(path.join("train.jsonl"), "\n\n").unwrap();
    complaint(&["train.jsonl", "at least one utterance"]);
    fs::write(path.join("train.jsonl"), [0xff, 0xfe]).unwrap();
    complaint(&["train.jsonl", "UTF-8"]);

    fs::write(path.join("train.jsonl"), &good).unwrap();
    let wav_path = path.join("wavs/train_4.wav");
    sound::write(&wav_path, 16_000, &sound(16, 150.0)).unwrap();
    complaint(&["train_4.wav", "16000 Hz", "22050 Hz"]);
    sound::write(&wav_path, 22_050, &sound(15, 150.0)).unwrap();
    complaint(&["train_4.wav", "48 frames", "11520 samples"]);
    fs::remove_file(path.join("heldout.jsonl")).unwrap();
    complaint(&["heldout.jsonl"]);
}
