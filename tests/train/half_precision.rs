//! Training over activations that are stored in half precision.

use std::collections::BTreeMap;

use primal_engine::backend::Backend;
use primal_engine::config::{Recompute, Rule};
use primal_engine::memory::Act;
use primal_engine::models::gpt::Gpt;

use super::{config, corpus, differentiate, nano, primal, state_bytes, trainer};

/// What a gradient may lose, as a share of its norm: a few roundings of 2⁻¹² to each activation on its way.
const GRADIENT_TOLERANCE: f64 = 2e-3;

#[test]
fn gradients_are_those_of_single_precision_but_for_rounding() {
    let gradients = |act, recompute| {
        let mut config = config(Rule::Adamw);
        (config.train.activations, config.train.recompute) = (act, recompute);
        let mut trainer = trainer::<Gpt>(&config);
        differentiate(&mut trainer).into_iter().map(move |float| {
            let mut gradient = vec![0.0f32; float.gradient.len()];
            trainer.backend.download(float.gradient, &mut gradient);
            (float.name, gradient)
        })
    };
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    for recompute in [Recompute::Off, Recompute::On] {
        for ((name, single), (_, half)) in gradients(Act::F32, recompute).zip(gradients(Act::F16, recompute)) {
            let error = norm(&mut half.iter().zip(&single).map(|(h, s)| h - s)) / norm(&mut single.iter().copied());
            println!("{name}: {error:.2e}");
            assert!(error < GRADIENT_TOLERANCE, "{name}: {error} of the norm of its gradient");
        }
    }
}

/// The plan of `gpt-nano`, kept whole, with these flags more: all bytes, and those of each span by name.
fn planned(flags: &[&str]) -> (u64, BTreeMap<String, u64>) {
    let output = primal(&[&["plan", "--config", "gpt-nano", "--memory", "8GB", "--json"], flags].concat());
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let spans = object["spans"].as_array().expect("spans").iter();
    let bytes = |value: &serde_json::Value| value.as_u64().expect("bytes");
    let spans = spans.map(|span| (span["name"].as_str().expect("a name").to_string(), bytes(&span["bytes"]))).collect();
    (bytes(&object["total_bytes"]), spans)
}

/// The state after five steps over activations in half precision, with so many threads.
fn bytes_of_five_steps(recompute: Recompute, threads: usize) -> Vec<u8> {
    let mut config = config(Rule::Votes);
    (config.train.recompute, config.train.activations) = (recompute, Act::F16);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| {
        let mut trainer = trainer::<Gpt>(&config);
        let corpus = corpus();
        for _ in 0..5 {
            trainer.step(&corpus).expect("a step");
        }
        state_bytes(&mut trainer)
    })
}

#[test]
fn neither_threads_nor_recomputing_change_a_byte() {
    let kept = bytes_of_five_steps(Recompute::Off, 1);
    for (recompute, threads) in [(Recompute::Off, 2), (Recompute::Off, 7), (Recompute::On, 2)] {
        assert!(kept == bytes_of_five_steps(recompute, threads), "recompute {recompute:?}, {threads} threads");
    }
}

#[test]
fn what_cannot_store_it_refuses_it() {
    for (flags, expected) in [
        (["--config", "llama-1.1b", "--device", "cpu"], "train.activations: expected f32"),
        (["--config", "ghost-tts-nano", "--device", "cpu"], "train.activations: expected f32"),
    ] {
        let output = primal(&[&["plan", "--activations", "f16"][..], &flags].concat());
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && message.contains(expected) && message.contains("hint: "), "{message}");
    }
}

#[test]
fn half_precision_halves_what_the_backward_pass_reads() {
    let ((single_total, single), (half_total, half)) = (planned(&["--activations", "f32"]), planned(&["--activations", "f16"]));
    assert_eq!(planned(&[]), (single_total, single.clone()), "f32 is the default");
    assert_eq!(single.keys().collect::<Vec<_>>(), half.keys().collect::<Vec<_>>());
    let mut saved = 0;
    for (name, &bytes) in &single {
        let matrices = ["q", "k", "v", "attended", "middle", "hidden", "activated", "norm1.y", "norm2.y"];
        let matrix = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')).is_some_and(|(_, part)| matrices.contains(&part));
        let kept = matrix || name.starts_with("stream.");
        assert_eq!(half[name], if kept { bytes / 2 } else { bytes }, "{name}");
        saved += bytes - half[name];
    }
    // Two blocks of 15 matrices and three streams, 8 · 64 tokens, 32 wide: sizes that leave no gap before a cache line.
    assert_eq!(saved, (2 * 15 + 3) * 8 * 64 * 32 * 2);
    assert_eq!(single_total - half_total, saved);
}

#[test]
fn a_run_over_half_precision_is_resumed_as_such() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let config = nano(folder.path());
    let run = |more: &[&str]| {
        let output = primal(&[&["train"], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let last =
        |run: &str| std::fs::read(folder.path().join(run).join("checkpoints/step-00000020.safetensors")).expect("the last checkpoint");
    run(&["--config", &config, "--activations", "f16", "--steps", "20", "--out", &at("whole")]);
    run(&["--config", &config, "--activations", "f16", "--steps", "20", "--out", &at("cut")]);
    // As if it had been killed after step 10.
    for step in [15, 20] {
        std::fs::remove_file(folder.path().join(format!("cut/checkpoints/step-{step:08}.safetensors"))).expect("a checkpoint");
    }
    run(&["--resume", &at("cut")]);
    assert!(last("whole") == last("cut"), "the checkpoints differ");
    run(&["--config", &config, "--steps", "20", "--out", &at("single")]);
    assert!(last("whole") != last("single"), "f16 rounds nothing");
    let info = primal(&["info", &at("whole/checkpoints/step-00000020.safetensors")]);
    assert!(String::from_utf8_lossy(&info.stdout).contains("activations = \"f16\""), "{}", String::from_utf8_lossy(&info.stdout));
    // Neither by a flag nor by an edit.
    let edited = folder.path().join("whole/config.toml");
    let text = std::fs::read_to_string(&edited).expect("the run's configuration");
    std::fs::write(&edited, text.replace("activations = \"f16\"\n", "")).expect("the run's configuration");
    for flags in [&["--activations", "f32"][..], &["--steps", "30"]] {
        let output = primal(&[&["train", "--resume", &at("whole")], flags].concat());
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && message.contains("activations"), "{flags:?}: {message}");
    }
}
