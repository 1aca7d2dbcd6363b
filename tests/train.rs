//! Training as a whole: gradients against finite differences, threads, memory, watchdog, resume.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use primal_device::grid::GridId;
use primal_host::arena::Plan;
use primal_host::arena::Span;
use primal_host::backend::Backend;
use primal_host::backend::cpu::Cpu;
use primal_host::checkpoint::{Checkpoint, encode};
use primal_host::config::{Config, Recompute, Rule};
use primal_host::data::{Corpus, CorpusOptions, Split};
use primal_host::model::{GradientSink, MatrixId, Part, VectorId};
use primal_host::run::state;
use primal_host::train::optimizer::MatrixState;
use primal_host::train::trainer::{Layout, Trainer};

fn config(rule: Rule) -> Config {
    let mut config = Config::load("gpt-nano").expect("an embedded configuration");
    config.model.dim = 24;
    config.model.context = 16;
    config.train.optimizer = rule;
    config.train.batch = 3;
    config.train.seq_len = 13;
    config.train.steps = 12;
    config
}

fn trainer(config: &Config) -> Trainer<Cpu> {
    let mut plan = Plan::default();
    let layout = Layout::plan(config, &mut plan);
    let backend = Cpu::new(&mut plan);
    let mut trainer = Trainer::new(config.clone(), layout, backend);
    trainer.initialise();
    trainer
}

fn corpus() -> Corpus {
    let options = CorpusOptions { stories_bytes: 100_000, ..CorpusOptions::default() };
    Corpus::open(&["stories".to_string()], primal_host::data::Tokenizer::Bytes, &options).expect("stories")
}

fn state_bytes(trainer: &mut Trainer<Cpu>) -> Vec<u8> {
    state::checkpoint(trainer, &corpus(), |_, tensors| encode(&BTreeMap::new(), tensors)).expect("a checkpoint")
}

/// Keeps plain gradients of everything.
struct Plain {
    vectors: Vec<Span<f32>>,
    matrices: Vec<Span<f32>>,
}

impl<B: Backend> GradientSink<B> for Plain {
    fn vector(&self, id: VectorId) -> Span<f32> {
        self.vectors[id.0]
    }
    fn matrix(&mut self, b: &mut B, id: MatrixId, dy: Span<f32>, x: Span<f32>, rows: usize, part: Part) {
        b.linear_backward_weight(self.matrices[id.0], dy, x, rows, !part.first);
    }
}

/// f32 losses of a whole model: the central difference of a mean over 39 tokens carries an error of about 1e-3 of the largest gradients.
const GRADIENT_TOLERANCE: f64 = 2e-3;

#[test]
fn the_whole_models_gradient_agrees_with_finite_differences() {
    for recompute in [Recompute::Off, Recompute::On] {
        let mut config = config(Rule::Adamw);
        config.train.recompute = recompute;
        let mut trainer = trainer(&config);
        let floats = trainer.layout.optimizer.floats.clone();
        let vectors = trainer.layout.parameters.vectors.len();
        let mut sink = Plain {
            vectors: floats[..vectors].iter().map(|f| f.gradient).collect(),
            matrices: floats[vectors..].iter().map(|f| f.gradient).collect(),
        };
        let tokens = trainer.layout.model.tokens();
        let (mut inputs, mut targets) = (vec![0; tokens], vec![0; tokens]);
        corpus().sample(1, 0, 0, 3, 13, &mut inputs, &mut targets);
        let b = &mut trainer.backend;
        b.upload(trainer.layout.model.inputs, &inputs);
        b.upload(trainer.layout.model.targets, &targets);
        for float in &floats {
            b.zero(float.gradient);
        }
        trainer.layout.model.train(b, &trainer.layout.parameters, &mut sink, 1.0);
        let (model, p) = (&trainer.layout.model, &trainer.layout.parameters);
        let mut losses = vec![0.0f32; tokens];
        let mut loss = |b: &mut Cpu| -> f64 {
            model.evaluate(b, p);
            b.download(model.losses, &mut losses);
            losses.iter().map(|&l| f64::from(l)).sum()
        };
        for float in &floats {
            let (mut value, mut gradient) = (vec![0.0f32; float.value.len()], vec![0.0f32; float.value.len()]);
            b.download(float.value, &mut value);
            b.download(float.gradient, &mut gradient);
            // Along the gradient itself the slope is its norm: one difference checks the whole tensor.
            let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
            assert!(norm > 0.0, "{}: no gradient", float.name);
            let step = 0.01;
            let mut at = |sign: f64| {
                let moved: Vec<f32> = value.iter().zip(&gradient).map(|(&v, &g)| v + (sign * step * f64::from(g) / norm) as f32).collect();
                b.upload(float.value, &moved);
                loss(b)
            };
            let slope = (at(1.0) - at(-1.0)) / (2.0 * step);
            b.upload(float.value, &value);
            let error = (slope - norm).abs() / norm.max(1.0);
            assert!(error < GRADIENT_TOLERANCE, "{}: slope {slope}, norm of the gradient {norm}, error {error}", float.name);
        }
    }
}

#[test]
fn threads_do_not_change_a_byte() {
    for rule in RULES {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| {
                let mut trainer = trainer(&config(rule));
                let corpus = corpus();
                for _ in 0..5 {
                    trainer.step(&corpus).expect("a step");
                }
                state_bytes(&mut trainer)
            })
        };
        let one = run(1);
        for threads in [2, 7] {
            let differ = one.iter().zip(&run(threads)).filter(|(a, b)| a != b).count();
            assert_eq!(differ, 0, "{rule:?} with {threads} threads: {differ} bytes differ");
        }
    }
}

#[test]
fn recomputing_changes_no_byte() {
    let run = |recompute| {
        let mut config = config(Rule::Votes);
        config.train.recompute = recompute;
        let mut trainer = trainer(&config);
        let corpus = corpus();
        for _ in 0..5 {
            trainer.step(&corpus).expect("a step");
        }
        state_bytes(&mut trainer)
    };
    assert!(run(Recompute::Off) == run(Recompute::On));
}

#[test]
fn every_rule_learns_on_every_grid() {
    let corpus = corpus();
    for rule in RULES {
        for grid in GridId::ALL {
            let mut config = config(rule);
            config.model.grid = grid;
            config.train.steps = 60;
            config.train.warmup = 5;
            config.train.lr = 1e-2;
            let mut trainer = trainer(&config);
            let first = trainer.step(&corpus).expect("a step").loss;
            let last = (1..60).map(|_| trainer.step(&corpus).expect("a step").loss).last().expect("steps");
            // The seed's rule forgets its votes at each step and is slow; sixty steps show only that it moves.
            let share = if rule == Rule::Poltergeist { 0.95 } else { 0.75 };
            assert!(last < share * first, "{rule:?} on {}: loss {first} → {last}", grid.name());
        }
    }
}

const RULES: [Rule; 4] = [Rule::Votes, Rule::Poltergeist, Rule::Qat, Rule::Adamw];

/// Trains one good step, spoils the run, and returns what the next step says.
fn spoiled(rule: Rule, spoil: impl FnOnce(&mut Trainer<Cpu>)) -> String {
    let (mut trainer, corpus) = (trainer(&config(rule)), corpus());
    trainer.step(&corpus).expect("a good step");
    spoil(&mut trainer);
    trainer.step(&corpus).map(|stats| stats.loss).expect_err("nothing was noticed").to_string()
}

#[test]
fn a_gradient_that_is_not_finite_is_named() {
    for rule in RULES {
        let layout = Layout::plan(&config(rule), &mut Plan::default());
        let matrices = if rule == Rule::Adamw { 0 } else { layout.parameters.matrices.len() };
        for tensor in 0..layout.optimizer.floats.len() + matrices {
            let name = layout.optimizer.norm_name(&layout.parameters, tensor);
            let message = spoiled(rule, |trainer| trainer.inject_fault(tensor));
            assert!(message.starts_with(&format!("step 2: the gradient of {name} is not finite")), "{rule:?}, {name}: {message}");
            assert!(message.contains("--resume"), "{message}");
        }
    }
}

#[test]
fn a_value_that_is_not_finite_is_named_in_the_same_step() {
    for rule in RULES {
        let layout = Layout::plan(&config(rule), &mut Plan::default());
        let parameters = layout.optimizer.floats.iter().map(|float| (float.name.clone(), float.value));
        // A bad first moment spoils the parameter that it moves.
        let moments = layout.optimizer.floats.iter().map(|float| (float.name.clone(), float.moments[0]));
        for (name, tensor) in parameters.chain(moments) {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let message = spoiled(rule, |trainer| trainer.backend.upload(tensor.slice(tensor.len() - 1, 1), &[value]));
                assert!(message.starts_with(&format!("step 2: {name} is not finite")), "{rule:?}, {value} in {name}: {message}");
            }
        }
    }
}

#[test]
fn mean_squares_of_votes_that_are_not_finite_are_named() {
    let layout = Layout::plan(&config(Rule::Votes), &mut Plan::default());
    for (spec, state) in layout.parameters.specs.matrices.iter().zip(&layout.optimizer.matrices) {
        let MatrixState::Votes(state) = state else { panic!("votes") };
        for (part, tensor) in [("vote_row", state.row), ("vote_column", state.column)] {
            for value in [f32::NAN, f32::INFINITY] {
                let message = spoiled(Rule::Votes, |trainer| trainer.backend.upload(tensor.slice(0, 1), &[value]));
                assert!(message.starts_with(&format!("step 2: {}.{part} is not finite", spec.name)), "{value}: {message}");
            }
        }
    }
}

#[test]
fn an_activation_that_overflows_is_named() {
    for recompute in [Recompute::On, Recompute::Off] {
        let mut config = config(Rule::Votes);
        config.train.recompute = recompute;
        let (mut trainer, corpus) = (trainer(&config), corpus());
        let gain = trainer.layout.optimizer.floats.iter().find(|float| float.name == "blocks.1.norm1.gamma").expect("a gain");
        // Finite, but not when a normalised value above 1.2 is multiplied by it.
        trainer.backend.upload(gain.value.slice(0, 1), &[3e38]);
        let error = trainer.step(&corpus).expect_err("an overflow").to_string();
        assert!(error.starts_with("step 1: the output of blocks.1 is not finite"), "{error}");
        let error = trainer.validate(&corpus, Split::Validation, 100).expect_err("an overflow").to_string();
        assert!(error.starts_with("step 0: the output of blocks.1 is not finite (the validation loss is "), "{error}");
    }
}

#[test]
fn a_checkpoint_with_a_value_that_is_not_finite_is_refused() {
    let mut trainer = trainer(&config(Rule::Votes));
    let tensor = trainer.layout.optimizer.floats[0].moments[1];
    trainer.backend.upload(tensor.slice(3, 1), &[f32::INFINITY]);
    let checkpoint = Checkpoint::from_bytes("spoiled", &state_bytes(&mut trainer)).expect("an undamaged file");
    let error = state::load(&mut trainer.backend, &state::tensors(&trainer.layout), &checkpoint).expect_err("infinity");
    assert_eq!(error.exit_code(), 2, "{error}");
    assert!(error.to_string().contains("embedding.tokens.v"), "{error}");
}

#[test]
fn a_grid_weight_takes_a_byte_and_a_half_or_one() {
    for (bits, expected) in [(8, 1.5), (4, 1.0)] {
        let mut config = Config::load("gpt-0.1b").expect("an embedded configuration");
        config.train.votes = primal_host::config::votes_of(bits).expect("4 or 8");
        let layout = Layout::plan(&config, &mut Plan::default());
        let bytes = primal_host::train::trainer::grid_state_bytes(&layout) as f64 / layout.parameters.specs.matrix_weights() as f64;
        assert!(bytes <= expected + 1e-9, "{bits}-bit votes: {bytes} bytes a weight");
    }
}

fn primal(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_primal-host")).args(arguments).output().expect("primal-host runs")
}

fn nano(folder: &Path) -> String {
    let mut config = config(Rule::Votes);
    config.train.steps = 60;
    config.train.checkpoint_every = 5;
    config.train.validate_every = 20;
    let path = folder.join("tiny.toml");
    std::fs::write(&path, config.to_toml()).expect("a configuration");
    path.display().to_string()
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = nano(folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let whole = primal(&["train", "--config", &config, "--out", &at("whole")]);
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let mut child = Command::new(env!("CARGO_BIN_EXE_primal-host"));
    let mut running = child.args(["train", "--config", &config, "--out", &at("killed")]).spawn().expect("primal-host runs");
    let mut kills = 0;
    for milliseconds in [300, 200, 400] {
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        kills += u32::from(running.try_wait().expect("a child").is_none());
        running.kill().expect("SIGKILL");
        running.wait().expect("a child");
        if folder.path().join("killed/config.toml").exists() {
            running = Command::new(env!("CARGO_BIN_EXE_primal-host"))
                .args(["train", "--resume", &at("killed")])
                .spawn()
                .expect("primal-host runs");
        }
    }
    assert!(running.wait().expect("a child").success(), "the resumed run failed after {kills} kills");
    let last =
        |run: &str| std::fs::read(folder.path().join(run).join("checkpoints/step-00000060.safetensors")).expect("the last checkpoint");
    assert!(last("whole") == last("killed"), "the checkpoints differ after {kills} kills");
}

#[test]
fn bad_input_is_refused_with_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("unknown.toml"), "[model]\ndimm = 3\n").expect("a file");
    std::fs::write(path("foreign.safetensors"), b"no checkpoint").expect("a file");
    std::fs::write(path("empty.txt"), b"").expect("a file");
    let (unknown, foreign, empty, out) = (path("unknown.toml"), path("foreign.safetensors"), path("empty.txt"), path("run"));
    let cases: [(&[&str], &str); 6] = [
        (&["train", "--config", "gpt-nan"], "gpt-nano"),
        (&["train", "--config", &unknown], "\"dim\""),
        (&["train", "--config", "gpt-nano", "--heads", "3"], ""),
        (&["train", "--config", "gpt-nano", "--data", &empty, "--out", &out], "empty.txt"),
        (&["info", &foreign], "foreign.safetensors"),
        (&["train", "--config", "gpt-nano", "--optimizer", "sgd"], "poltergeist"),
    ];
    for (arguments, word) in cases {
        let output = primal(arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        let expected = if word.is_empty() { 1 } else { 2 };
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}: {message}");
        assert!(message.contains(word), "{arguments:?}: {message}");
    }
}
