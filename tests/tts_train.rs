//! GhostTTS as a whole: gradients against finite differences, utterances that do not see each other, threads, resume, learning.

#[path = "gradients/plain.rs"]
mod plain;
#[path = "speech/utterances.rs"]
mod utterances;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use half::f16;
use plain::Plain;
use primal_engine::backend::cpu::Cpu;
use primal_engine::backend::{Backend, cuda_plan};
use primal_engine::config::{Rule, SpeechConfig};
use primal_engine::files::TensorFile;
use primal_engine::files::checkpoint::{Checkpoint, Dtype, encode};
use primal_engine::memory::Plan;
use primal_engine::models::ghost_tts::{Controls, Lengths, TERM_WEIGHTS, TERMS};
use primal_engine::train::speech::SpeechTask;
use primal_engine::train::state;
use primal_engine::train::trainer::{Layout, Trainer};
use primal_host::configurations::Load;
use primal_host::data::{SpeechCorpus, SpeechData, SpeechSplit};
use primal_speech::Phone;
use primal_speech::mel::MelSettings;

use primal_host::verify::tones::write_corpus;
use utterances::{Random, batch};

type SpeechTrainer = Trainer<Cpu, SpeechTask>;

fn config(rule: Rule) -> SpeechConfig {
    let mut config = SpeechConfig::load("ghost-tts-nano").expect("an embedded configuration");
    config.train.optimizer = rule;
    config.train.steps = 40;
    config.train.validate_every = 10;
    config.train.checkpoint_every = 5;
    config
}

fn trainer(config: &SpeechConfig) -> SpeechTrainer {
    let mut plan = Plan::default();
    let layout = Layout::plan(config, &mut plan);
    let backend = Cpu::new(&mut plan);
    let mut trainer = Trainer::new(config.clone(), layout, backend);
    trainer.initialise();
    trainer
}

/// The loss of the loaded batch, term by term weighted.
fn loss(trainer: &mut SpeechTrainer, lengths: &Lengths) -> f64 {
    let (b, p, model) = (&mut trainer.backend, &trainer.layout.parameters, &trainer.layout.model);
    model.evaluate(b, p, lengths);
    let term = |term: usize| {
        let mut losses = vec![0.0f32; model.losses(term, lengths).len()];
        b.download(model.losses(term, lengths), &mut losses);
        let mean = losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / model.values(term, lengths) as f64;
        f64::from(TERM_WEIGHTS[term]) * mean
    };
    (0..TERMS.len()).map(term).sum()
}

/// Of a slope beside the norm of the gradient: a step crosses kinks of ReLU, whose errors fall with the step (at most 0.027, 0.010 and 0.008 with
/// steps of 0.01, 0.003 and 0.001).
const GRADIENT_TOLERANCE: f64 = 1.5e-2;

#[test]
fn the_whole_models_gradient_agrees_with_finite_differences() {
    let mut trainer = trainer(&config(Rule::Adamw));
    let model = trainer.layout.model.clone();
    let utterances = [Random::new(1, 9, model.mels), Random::new(2, 4, model.mels), Random::new(3, 13, model.mels)];
    let lengths = model.load(&mut trainer.backend, &batch(&model, &utterances));
    let floats = trainer.layout.optimizer.floats.clone();
    let vectors = trainer.layout.parameters.vectors.len();
    let mut sink = Plain {
        vectors: floats[..vectors].iter().map(|f| f.gradient).collect(),
        matrices: floats[vectors..].iter().map(|f| f.gradient).collect(),
    };
    for float in &floats {
        trainer.backend.zero(float.gradient);
    }
    model.train(&mut trainer.backend, &trainer.layout.parameters, &mut sink, &lengths, 1.0);
    for float in &floats {
        let (mut value, mut gradient) = (vec![0.0f32; float.value.len()], vec![0.0f32; float.value.len()]);
        trainer.backend.download(float.value, &mut value);
        trainer.backend.download(float.gradient, &mut gradient);
        // Along the gradient itself the slope is its norm: one difference checks the whole tensor.
        let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        assert!(norm > 0.0, "{}: no gradient", float.name);
        let step = 0.001;
        let mut at = |sign: f64| {
            let moved: Vec<f32> = value.iter().zip(&gradient).map(|(&v, &g)| v + (sign * step * f64::from(g) / norm) as f32).collect();
            trainer.backend.upload(float.value, &moved);
            loss(&mut trainer, &lengths)
        };
        let slope = (at(1.0) - at(-1.0)) / (2.0 * step);
        trainer.backend.upload(float.value, &value);
        // Losses are sums of f32 errors of order 5: a slope is known to about 4e-5.
        let error = (slope - norm).abs() / norm.max(1e-2);
        assert!(error < GRADIENT_TOLERANCE, "{}: slope {slope}, norm of the gradient {norm}, error {error}", float.name);
    }
}

/// Products of other heights are summed in other orders.
const PACKING_TOLERANCE: f32 = 1e-4;

#[test]
fn utterances_of_a_batch_do_not_see_each_other() {
    let mut trainer = trainer(&config(Rule::Votes));
    let model = trainer.layout.model.clone();
    let utterances: Vec<Random> = (0..4).map(|i| Random::new(i, 3 + 4 * i as usize, model.mels)).collect();
    let mut rows = |utterances: &[Random], term: usize| {
        let lengths = model.load(&mut trainer.backend, &batch(&model, utterances));
        model.evaluate(&mut trainer.backend, &trainer.layout.parameters, &lengths);
        let mut losses = vec![0.0f32; model.losses(term, &lengths).len()];
        trainer.backend.download(model.losses(term, &lengths), &mut losses);
        losses
    };
    for (term, name) in TERMS.iter().enumerate() {
        let together = rows(&utterances, term);
        let alone: Vec<f32> = utterances.iter().flat_map(|one| rows(std::slice::from_ref(one), term)).collect();
        assert_eq!(together.len(), alone.len());
        let error = |i: usize| (together[i] - alone[i]).abs() / alone[i].abs().max(1.0);
        let worst = (0..alone.len()).max_by(|&a, &b| error(a).total_cmp(&error(b))).expect("rows");
        assert!(error(worst) < PACKING_TOLERANCE, "{name}, row {worst}: {} together, {} alone", together[worst], alone[worst]);
    }
}

fn data(folder: &Path, config: &SpeechConfig) -> SpeechData {
    let corpus = SpeechCorpus::open(folder, &MelSettings::default(), None).expect("a corpus");
    SpeechData::new(corpus, config).expect("a corpus that fits")
}

#[test]
fn threads_do_not_change_a_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    write_corpus(folder.path());
    for &rule in Rule::ALL {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| {
                let config = config(rule);
                let (mut trainer, data) = (trainer(&config), data(folder.path(), &config));
                for _ in 0..3 {
                    trainer.step(&data).expect("a step");
                }
                state::checkpoint(&mut trainer, &data, |_, tensors| encode(&BTreeMap::new(), tensors)).expect("a checkpoint")
            })
        };
        let one = run(1);
        for threads in [2, 5] {
            let differ = one.iter().zip(&run(threads)).filter(|(a, b)| a != b).count();
            assert_eq!(differ, 0, "{rule:?} with {threads} threads: {differ} bytes differ");
        }
    }
}

#[test]
fn a_voice_learns_its_tones_and_speaks() {
    let folder = tempfile::tempdir().expect("a folder");
    write_corpus(folder.path());
    for rule in [Rule::Votes, Rule::Adamw] {
        let mut config = config(rule);
        config.train.steps = 150;
        let (mut trainer, data) = (trainer(&config), data(folder.path(), &config));
        let first = trainer.step(&data).expect("a step");
        let last = (1..150).map(|_| trainer.step(&data).expect("a step")).last().expect("steps");
        for (i, name) in TERMS.iter().enumerate() {
            assert!(last.terms[i] < 0.5 * first.terms[i], "{rule:?}, {name}: {} → {}", first.terms[i], last.terms[i]);
        }
        let phones = ["SIL", "AA1", "M", "IY0", "SIL"].map(|name| Phone::from_name(name).expect("a phone"));
        let (b, p, model) = (&mut trainer.backend, &trainer.layout.parameters, &trainer.layout.model);
        let mut batch = model.batch();
        let mut speak = |controls: &Controls| {
            let spoken = model.synthesise(b, p, &mut batch, &data.facts().scales(), &phones, controls).expect("a sentence");
            let frames = spoken.durations.iter().sum::<u32>() as usize;
            assert_eq!(spoken.mel.len(), frames * model.mels);
            assert!(spoken.mel.iter().all(|value| (-20.0..10.0).contains(value)), "{rule:?}: a spectrogram out of range");
            spoken
        };
        let (plain, slow) = (speak(&Controls::default()), speak(&Controls { speed: 0.5, ..Controls::default() }));
        // A pause of this corpus lasts 12 to 14 frames, AA1 4 to 6, M 8 to 10.
        for (at, frames) in [(0, 13), (1, 5), (2, 9)] {
            assert!(plain.durations[at].abs_diff(frames) <= 4, "{rule:?}: durations {:?}", plain.durations);
        }
        let ratio = slow.mel.len() as f64 / plain.mel.len() as f64;
        assert!((1.8..2.2).contains(&ratio), "{rule:?}: half as fast is {ratio} times as long");
    }
}

fn primal(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_primal-host")).args(arguments).output().expect("primal-host runs")
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    write_corpus(&folder.path().join("corpus"));
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("tiny.toml"), config(Rule::Votes).to_toml()).expect("a configuration");
    let begin = |out: &str| {
        vec!["tts-train".to_string(), "--config".into(), at("tiny.toml"), "--data".into(), at("corpus"), "--out".into(), at(out)]
    };
    let whole = primal(&begin("whole").iter().map(String::as_str).collect::<Vec<_>>());
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let program = || Command::new(env!("CARGO_BIN_EXE_primal-host"));
    let mut running = program().args(begin("killed")).spawn().expect("primal-host runs");
    let first = folder.path().join("killed/checkpoints/step-00000010.safetensors");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while !first.exists() {
        assert!(std::time::Instant::now() < deadline, "the run did not get to its second checkpoint");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let killed = running.try_wait().expect("a child").is_none();
    running.kill().expect("SIGKILL");
    running.wait().expect("a child");
    assert!(killed, "the run ended before it was killed");
    let resumed = primal(&["tts-train", "--resume", &at("killed")]);
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    let last = |run: &str| fs::read(folder.path().join(run).join("checkpoints/step-00000040.safetensors")).expect("the last checkpoint");
    assert!(last("whole") == last("killed"), "the checkpoints differ");
}

#[test]
fn samples_are_drawn_and_spoken() {
    let folder = tempfile::tempdir().expect("a folder");
    write_corpus(&folder.path().join("corpus"));
    let at = |name: &str| folder.path().join(name).display().to_string();
    let vocoder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/vocoder/v2.safetensors");
    let arguments = ["--config", "ghost-tts-nano", "--steps", "20", "--sample-every", "10", "--vocoder", vocoder];
    let output = primal(&[&["tts-train", "--data", &at("corpus"), "--out", &at("run")], &arguments[..]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for step in [10, 20] {
        let sample = |end: &str| folder.path().join(format!("run/samples/step-{step:08}.{end}"));
        let samples = primal_host::sound::read(&sample("wav"), 22_050).expect("a WAV");
        assert!(!samples.is_empty() && samples.len().is_multiple_of(256), "{} samples", samples.len());
        assert!(fs::read(sample("png")).expect("a picture").starts_with(b"\x89PNG"));
    }
}

#[test]
fn the_spectrograms_that_a_vocoder_learns_from_are_those_that_validation_measures() {
    let folder = tempfile::tempdir().expect("a folder");
    write_corpus(&folder.path().join("corpus"));
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("tiny.toml"), config(Rule::Votes).to_toml()).expect("a configuration");
    let trained = primal(&["tts-train", "--config", &at("tiny.toml"), "--data", &at("corpus"), "--out", &at("run")]);
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let checkpoint = at("run/checkpoints/step-00000040.safetensors");
    let draw = |data: &str| primal(&["tts-mels", "--checkpoint", &checkpoint, "--data", data, "--out", &at("mels.safetensors")]);
    let drawn = draw(&at("corpus"));
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));

    let corpus = SpeechCorpus::open(&folder.path().join("corpus"), &MelSettings::default(), None).expect("a corpus");
    let mels = Checkpoint::open(at("mels.safetensors")).expect("spectrograms");
    let (mut error, mut values) = (0.0, 0);
    for split in [SpeechSplit::Train, SpeechSplit::HeldOut] {
        for utterance in corpus.utterances(split) {
            let view = mels.view(&utterance.id).expect("a spectrogram of each utterance");
            assert_eq!((view.dtype, view.shape), (Dtype::F16, &[utterance.frames, 80][..]), "{}", utterance.id);
            let bytes = view.bytes().expect("its values");
            let drawn = bytes.chunks_exact(2).map(|two| f16::from_le_bytes([two[0], two[1]]).to_f64());
            let errors: f64 = drawn.zip(corpus.mel(utterance)).map(|(ours, &theirs)| (ours - f64::from(theirs)).abs()).sum();
            if split == SpeechSplit::HeldOut {
                (error, values) = (error + errors, values + view.shape.iter().product::<usize>());
            }
        }
    }
    let records = fs::read_to_string(at("run/metrics.jsonl")).expect("metrics");
    let records = records.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let validated = records.filter_map(|record| record["validation_loss"].as_f64()).next_back().expect("a validation");
    let mean = error / values as f64;
    assert!((mean / validated - 1.0).abs() < 1e-3, "{mean} nepers; validation said {validated}");

    // Another corpus has other statistics.
    let lines = fs::read_to_string(at("corpus/train.jsonl")).expect("lines");
    fs::create_dir(at("other")).expect("a folder");
    fs::write(at("other/train.jsonl"), lines.lines().take(2).collect::<Vec<_>>().join("\n")).expect("a corpus");
    fs::copy(at("corpus/heldout.jsonl"), at("other/heldout.jsonl")).expect("a corpus");
    std::os::unix::fs::symlink(at("corpus/wavs"), at("other/wavs")).expect("its sounds");
    let refused = draw(&at("other"));
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{message}");
    assert!(message.contains("--data") && message.contains("statistics"), "{message}");
}

#[test]
fn a_voice_can_be_planned_for_both_devices() {
    let planned = |arguments: &[&str]| {
        let output = primal(&[&["plan", "--json", "--config", "ghost-tts-nano"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("one JSON object")
    };
    let bytes = |frames: usize, scratch: &dyn Fn(&mut Plan)| {
        let mut config = config(Rule::Votes);
        config.train.batch_frames = frames;
        let mut plan = Plan::default();
        Layout::<SpeechTask>::plan(&config, &mut plan);
        scratch(&mut plan);
        plan.total_bytes() as u64
    };
    let cpu = |plan: &mut Plan| _ = Cpu::plan_scratch(plan);
    let cuda = |plan: &mut Plan| _ = cuda_plan::plan(plan);
    for (device, scratch) in [("cpu", &cpu as &dyn Fn(&mut Plan)), ("cuda", &cuda)] {
        for frames in [600, 900] {
            let plan = planned(&["--device", device, "--batch-frames", &frames.to_string()]);
            assert_eq!(plan["total_bytes"], bytes(frames, scratch), "{frames} frames on {device}");
            assert!(plan["grid_weights"].as_u64() > Some(0) && plan["spans"].as_array().is_some_and(|spans| !spans.is_empty()));
        }
    }
    for (arguments, expected) in [
        (["--config", "ghost-tts-nano", "--batch", "4"], "--batch"),
        (["--config", "ghost-tts-nano", "--batch-frames", "0"], "batch_frames"),
        (["--config", "gpt-nano", "--batch-frames", "900"], "--batch-frames"),
        (["--config", "ghost-tss", "--votes", "8"], "did you mean \"ghost-tts\"?"),
    ] {
        let output = primal(&[&["plan"], &arguments[..]].concat());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
}

#[test]
fn bad_input_is_refused_with_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    write_corpus(&folder.path().join("corpus"));
    let at = |name: &str| folder.path().join(name).display().to_string();
    let cases: [(&[&str], &str); 7] = [
        (&[], "--data"),
        (&["--data", &at("nothing")], "nothing"),
        (&["--data", &at("corpus"), "--batch-frames", "20"], "--batch-frames"),
        (&["--data", &at("corpus"), "--config", "ghost-tss"], "did you mean \"ghost-tts\"?"),
        (&["--data", &at("corpus"), "--optimizer", "sgd"], "--optimizer"),
        (&["--data", &at("corpus"), "--config", "gpt-nano"], "ghost-tts"),
        (&["--data", &at("corpus"), "--vocoder", &at("corpus/train.jsonl")], "train.jsonl"),
    ];
    for (arguments, expected) in cases {
        let out = at("out");
        let output = primal(&[&["tts-train", "--out", &out], arguments].concat());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(expected) && message.contains("hint"), "{arguments:?}: {message}");
        assert!(!Path::new(&out).join("config.toml").exists(), "{arguments:?}: a run was begun");
    }
}
