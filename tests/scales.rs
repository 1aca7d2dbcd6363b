//! Scales of groups from end to end: training, resuming, what commands say of them and refuse.

#[path = "train/trainer.rs"]
mod trainer;

use std::process::Command;

use primal_device::grid::{self, Grid, ScaleForm};
use primal_engine::backend::cpu::Cpu;
use primal_engine::config::{Config, Rule};
use primal_engine::files::checkpoint::Checkpoint;
use primal_engine::models::gpt::Gpt;
use primal_engine::nn::tensors;
use primal_engine::train::state;
use primal_engine::train::trainer::Trainer;
use primal_host::configurations::Load;
use primal_host::data::Corpus;
use trainer::{corpus, state_bytes, trainer};

/// Grids of each kind, and what groups have on them.
const FORMATS: [(&Grid, ScaleForm); 4] = [
    (&grid::UNIFORM15, ScaleForm::Group32),
    (&grid::INT4, ScaleForm::Group32),
    (&grid::NF4, ScaleForm::Group32Offset),
    (&grid::UINT4, ScaleForm::Group32Offset),
];

/// How far losses after 200 steps may be apart, in nats a byte: scales of groups are frozen, those of rows learn.
const DISTANCE: f64 = 0.05;

fn config(grid: &'static Grid, scales: ScaleForm, rule: Rule) -> Config {
    let mut config = Config::load("gpt-nano").expect("an embedded configuration");
    (config.model.grid, config.model.scales, config.train.optimizer) = (grid, scales, rule);
    config
}

/// As above, with rows that do not end with a group.
fn small(grid: &'static Grid, scales: ScaleForm, rule: Rule) -> Config {
    let mut config = config(grid, scales, rule);
    (config.model.dim, config.model.context) = (40, 16);
    let t = &mut config.train;
    (t.batch, t.seq_len, t.steps, t.warmup, t.lr, t.rescale_every) = (3, 13, 60, 5, 1e-2, 2);
    config
}

fn losses(trainer: &mut Trainer<Cpu>, corpus: &Corpus, steps: usize) -> Vec<f64> {
    (0..steps).map(|_| trainer.step(corpus).expect("a step").loss).collect()
}

#[test]
fn a_small_model_learns_as_with_scales_of_rows() {
    let corpus = corpus();
    let last = |grid, scales| {
        let losses = losses(&mut trainer::<Gpt>(&config(grid, scales, Rule::Votes)), &corpus, 200);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        (losses[0], mean(&losses[180..]))
    };
    let (first, rows) = last(&grid::UNIFORM15, ScaleForm::Row);
    for (grid, form) in FORMATS {
        let (_, groups) = last(grid, form);
        let of = format!("{}, {}", grid.name(), form.name());
        println!("loss {first:.3} → {rows:.3} with scales of rows, {groups:.3} on {of}");
        assert!(groups < 0.6 * first && (groups - rows).abs() < DISTANCE, "{of}: {groups}, rows {rows}, at first {first}");
    }
}

#[test]
fn every_rule_learns_with_each_form_and_leaves_the_scales_as_they_are() {
    let corpus = corpus();
    for &rule in Rule::ALL {
        for (grid, form) in FORMATS {
            let mut trainer = trainer::<Gpt>(&small(grid, form, rule));
            let scales = |trainer: &mut Trainer<Cpu>| {
                let layers = trainer.layers().expect("layers");
                layers.iter().map(|layer| layer.scale.map(|scale| [scale.min, scale.max])).collect::<Vec<_>>()
            };
            let before = scales(&mut trainer);
            let losses = losses(&mut trainer, &corpus, 60);
            let share = if rule == Rule::Poltergeist { 0.95 } else { 0.75 };
            let (first, last) = (losses[0], losses[59]);
            assert!(last < share * first, "{rule:?} on {}, {}: loss {first} → {last}", grid.name(), form.name());
            assert_eq!(before, scales(&mut trainer), "{rule:?} on {}, {}", grid.name(), form.name());
        }
    }
}

#[test]
fn threads_do_not_change_a_byte() {
    for (rule, (grid, form)) in Rule::ALL.iter().zip(FORMATS) {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| {
                let (mut trainer, corpus) = (trainer::<Gpt>(&small(grid, form, *rule)), corpus());
                losses(&mut trainer, &corpus, 5);
                state_bytes(&mut trainer)
            })
        };
        let one = run(1);
        for threads in [2, 7] {
            assert!(one == run(threads), "{rule:?} on {}, {} with {threads} threads", grid.name(), form.name());
        }
    }
}

#[test]
fn a_run_goes_on_bit_for_bit() {
    let corpus = corpus();
    for (grid, form) in FORMATS {
        let config = small(grid, form, Rule::Votes);
        let mut whole = trainer::<Gpt>(&config);
        losses(&mut whole, &corpus, 4);
        let saved = Checkpoint::from_bytes("saved", &state_bytes(&mut whole)).expect("an undamaged file");
        let mut resumed = trainer::<Gpt>(&config);
        tensors::load(&mut resumed.backend, &state::tensors(&resumed.layout), &saved).expect("the same model");
        resumed.step = 4;
        assert_eq!(losses(&mut whole, &corpus, 6), losses(&mut resumed, &corpus, 6));
        assert!(state_bytes(&mut whole) == state_bytes(&mut resumed), "{}, {}", grid.name(), form.name());
    }
}

fn primal(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_primal-host")).args(arguments).output().expect("primal-host runs");
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), out, err)
}

#[test]
fn commands_keep_count_and_resume() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run").display().to_string();
    let (code, out, err) = primal(&["plan", "--config", "gpt-nano", "--grid", "int4", "--scales", "group32"]);
    assert_eq!(code, Some(2), "plan has no --grid: {out}{err}");
    for (form, bytes) in [("row", "1.500"), ("group32", "1.562"), ("group32-offset", "1.625")] {
        let (code, out, err) = primal(&["plan", "--config", "gpt-nano", "--scales", form]);
        assert!(code == Some(0) && out.contains(&format!(": {bytes} bytes a weight")), "{form}: {out}{err}");
        assert_eq!(out.contains("blocks.0.attention.q.step"), form != "row", "{out}");
        let (code, out, err) = primal(&["plan", "--config", "gpt-nano", "--scales", form, "--device", "cuda"]);
        assert!(code == Some(0) && out.contains("cuda.scratch"), "{form}: {out}{err}");
    }
    let train = ["train", "--config", "gpt-nano", "--grid", "uint4", "--scales", "group32-offset", "--steps", "4", "--out", &run];
    let (code, _, err) = primal(&train);
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = primal(&["train", "--resume", &run, "--steps", "6"]);
    assert_eq!(code, Some(0), "{err}");
    let (code, out, err) = primal(&["info", &format!("{run}/checkpoints/step-00000006.safetensors")]);
    assert_eq!(code, Some(0), "{err}");
    for word in ["scales = \"group32-offset\"", "F16 [32, 1]  blocks.0.attention.q.step", "q on uint4, group32-offset scales"] {
        assert!(out.contains(word), "no {word:?} in {out}");
    }
    let (code, out, err) =
        primal(&["generate", "--checkpoint", &format!("{run}/checkpoints/step-00000006.safetensors"), "--prompt", "Once"]);
    assert!(code == Some(0) && out.starts_with("Once"), "{out}{err}");
}

#[test]
fn what_makes_no_sense_is_refused_with_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run").display().to_string();
    for (arguments, words) in [
        (&["train", "--config", "gpt-nano", "--scales", "group64", "--out", &run][..], ["--scales", "row, group32 or group32-offset"]),
        (
            &["train", "--config", "gpt-nano", "--scales", "group32", "--grid", "prime13", "--out", &run],
            ["model.grid", "numerators up to 2310"],
        ),
        (&["plan", "--config", "gpt-0.1b", "--scales", "group32"], ["model.grid", "numerators up to"]),
    ] {
        let (code, out, err) = primal(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {out}{err}");
        assert!(words.iter().all(|word| err.contains(word)) && err.contains("hint: "), "{arguments:?}: {err}");
    }
    assert!(!folder.path().join("run").exists(), "a run was begun");
}
