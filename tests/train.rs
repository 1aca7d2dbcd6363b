//! Training as a whole: threads, memory, watchdog, resume.

#[path = "gradients/differentiate.rs"]
mod differentiate;
#[path = "train/half_precision.rs"]
mod half_precision;
#[path = "train/micro_batches.rs"]
mod micro_batches;
#[path = "gradients/plain.rs"]
mod plain;
#[path = "train/tiles.rs"]
mod tiles;
#[path = "train/trainer.rs"]
mod trainer;

use std::path::Path;
use std::process::Command;

use differentiate::differentiate;
use primal_device::grid::{GRIDS, Grid};
use primal_engine::backend::Backend;
use primal_engine::backend::cpu::Cpu;
use primal_engine::config::{Config, Recompute, Rule, TextTable};
use primal_engine::files::checkpoint::Checkpoint;
use primal_engine::memory::{Act, Plan};
use primal_engine::models::gpt::Gpt;
use primal_engine::models::text::TextModel;
use primal_engine::nn::tensors;
use primal_engine::ops::attention::cpu as attention;
use primal_engine::optim::MatrixState;
use primal_engine::optim::votes::Votes;
use primal_engine::train::state;
use primal_engine::train::trainer::{Layout, Trainer};
use primal_host::configurations::Load;
use primal_host::data::{Corpus, CorpusOptions, Source, TextCodec};
use tiles::in_tiles;
use trainer::{corpus, state_bytes, trainer};

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

#[test]
fn threads_do_not_change_a_byte() {
    for config in Rule::ALL.iter().map(|&rule| config(rule)).chain([in_tiles()]) {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| {
                let mut trainer = trainer::<Gpt>(&config);
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
            assert_eq!(differ, 0, "{:?} with {threads} threads: {differ} bytes differ", config.train.optimizer);
        }
    }
}

#[test]
fn recomputing_changes_no_byte() {
    let run = |recompute| {
        let mut config = config(Rule::Votes);
        config.train.recompute = recompute;
        let mut trainer = trainer::<Gpt>(&config);
        let corpus = corpus();
        for _ in 0..5 {
            trainer.step(&corpus).expect("a step");
        }
        state_bytes(&mut trainer)
    };
    assert!(run(Recompute::Off) == run(Recompute::On));
}

/// On no list, without zero, and with a level of its own at every code but that of the padding.
static OWN: Grid = Grid::irrational("own", &[-1.1, -0.7, -0.41, -0.15, 0.08, 0.3, 0.62, 0.9]);

#[test]
fn every_rule_learns_on_every_grid() {
    let corpus = corpus();
    for &rule in Rule::ALL {
        for grid in GRIDS.iter().copied().chain([&OWN]) {
            let mut config = config(rule);
            config.model.grid = grid;
            config.train.steps = 60;
            config.train.warmup = 5;
            config.train.lr = 1e-2;
            let mut trainer = trainer::<Gpt>(&config);
            let first = trainer.step(&corpus).expect("a step").loss;
            let last = (1..60).map(|_| trainer.step(&corpus).expect("a step").loss).last().expect("steps");
            // PRIMAL's first rule forgets its votes at each step and is slow; sixty steps show only that it moves.
            let share = if rule == Rule::Poltergeist { 0.95 } else { 0.75 };
            assert!(last < share * first, "{rule:?} on {}: loss {first} → {last}", grid.name());
        }
    }
}

#[test]
fn answers_alone_are_learnt() {
    use primal_device::philox::RandomStream;
    let letter = |at: u32| char::from(b'a' + (RandomStream::new(1, 0, 0).words(at)[0] % 26) as u8);
    let line = |at: u32| format!("{}\tyes\n", (0..5).map(|i| letter(5 * at + i)).collect::<String>());
    let text: String = (0..2000).map(line).collect();
    let source = Source::from_text("questions", text).expect("a text");
    let corpus = Corpus::from_sources(vec![source], TextCodec::Bytes, &CorpusOptions::default()).expect("a corpus");
    let mut config = config(Rule::Votes);
    config.train.steps = 60;
    config.train.warmup = 5;
    config.train.lr = 1e-2;
    let mut losses = |answers_after| {
        config.train.answers_after = answers_after;
        let mut trainer = trainer::<Gpt>(&config);
        let last = (0..60).map(|_| trainer.step(&corpus).expect("a step").loss).last().expect("steps");
        [last, trainer.validate(&corpus).expect("a validation").loss]
    };
    // The five letters have 3.3 nats each, half of the line; the answer, nothing that could not be known.
    assert!(losses(None).iter().all(|&loss| loss > 1.2));
    let answers = losses(Some('\t'));
    assert!(answers.iter().all(|&loss| loss < 0.3), "{answers:?}");
}

/// Trains one good step, spoils the run, and returns what the next step says.
fn spoiled(rule: Rule, spoil: impl FnOnce(&mut Trainer<Cpu>)) -> String {
    spoiled_of(&config(rule), spoil)
}

fn spoiled_of(config: &Config, spoil: impl FnOnce(&mut Trainer<Cpu>)) -> String {
    let (mut trainer, corpus) = (trainer::<Gpt>(config), corpus());
    trainer.step(&corpus).expect("a good step");
    spoil(&mut trainer);
    trainer.step(&corpus).map(|stats| stats.loss).expect_err("nothing was noticed").to_string()
}

#[test]
fn a_gradient_that_is_not_finite_is_named() {
    for &rule in Rule::ALL {
        let layout: Layout = Layout::plan(&config(rule), &mut Plan::default());
        let matrices = if rule.is_float() { 0 } else { layout.parameters.matrices.len() };
        for tensor in 0..layout.optimizer.floats.len() + matrices {
            let name = layout.optimizer.norm_name(&layout.parameters, tensor);
            for config in [config(rule)].into_iter().chain((rule == Rule::Votes).then(in_tiles)) {
                let message = spoiled_of(&config, |trainer| trainer.inject_fault(tensor));
                assert!(message.starts_with(&format!("step 2: the gradient of {name} is not finite")), "{rule:?}, {name}: {message}");
                assert!(message.contains("its last checkpoint"), "{message}");
            }
        }
    }
}

#[test]
fn a_value_that_is_not_finite_is_named_in_the_same_step() {
    for &rule in Rule::ALL {
        let layout: Layout = Layout::plan(&config(rule), &mut Plan::default());
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
    let layout: Layout = Layout::plan(&config(Rule::Votes), &mut Plan::default());
    for (spec, state) in layout.parameters.specs.matrices.iter().zip(&layout.optimizer.matrices) {
        let MatrixState::Votes(Votes(state)) = state else { panic!("votes") };
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
    for (recompute, act) in [(Recompute::On, Act::F32), (Recompute::Off, Act::F32), (Recompute::On, Act::F16), (Recompute::Off, Act::F16)] {
        let mut config = config(Rule::Votes);
        (config.train.recompute, config.train.activations) = (recompute, act);
        let (mut trainer, corpus) = (trainer::<Gpt>(&config), corpus());
        let gain = trainer.layout.optimizer.floats.iter().find(|float| float.name == "blocks.1.norm1.gamma").expect("a gain");
        // Finite, but not when a normalised value above 1.2 is multiplied by it.
        let largest = if act == Act::F16 { 6e4 } else { 3e38 };
        trainer.backend.upload(gain.value.slice(0, 1), &[largest]);
        let error = trainer.step(&corpus).expect_err("an overflow").to_string();
        assert!(error.starts_with("step 1: the output of blocks.1 is not finite"), "{error}");
        let error = trainer.validate(&corpus).expect_err("an overflow").to_string();
        assert!(error.starts_with("step 0: the output of blocks.1 is not finite (the validation loss is "), "{error}");
    }
}

#[test]
fn a_checkpoint_with_a_value_that_is_not_finite_is_refused() {
    let mut trainer = trainer::<Gpt>(&config(Rule::Votes));
    let tensor = trainer.layout.optimizer.floats[0].moments[1];
    trainer.backend.upload(tensor.slice(3, 1), &[f32::INFINITY]);
    let checkpoint = Checkpoint::from_bytes("spoiled", &state_bytes(&mut trainer)).expect("an undamaged file");
    let error = tensors::load(&mut trainer.backend, &state::tensors(&trainer.layout), &checkpoint).expect_err("infinity");
    assert!(matches!(error, primal_engine::Error::Invalid { .. }), "{error}");
    assert!(error.to_string().contains("embedding.tokens.v"), "{error}");
}

#[test]
fn a_grid_weight_takes_a_byte_and_a_half_or_one() {
    for (bits, expected) in [(8, 1.5), (4, 1.0)] {
        let mut config = Config::load("gpt-0.1b").expect("an embedded configuration");
        config.train.votes = primal_engine::config::votes_of(bits).expect("4 or 8");
        let layout: Layout = Layout::plan(&config, &mut Plan::default());
        let bytes = primal_engine::train::trainer::grid_state_bytes(&layout) as f64 / layout.parameters.specs.matrix_weights() as f64;
        assert!(bytes <= expected + 1e-9, "{bits}-bit votes: {bytes} bytes a weight");
    }
}

/// 64 sequences of 512 tokens at once: their activations and all else of the large model fit a GPU of 4 GB.
#[test]
fn the_large_model_takes_less_than_4_gb_of_a_gpu() {
    let mut config = Config::load("gpt-0.1b").expect("an embedded configuration");
    (config.train.batch, config.train.seq_len, config.train.grad_accum) = (64, 512, 1);
    config.train.recompute = Recompute::On;
    let mut plan = Plan::default();
    let layout: Layout = Layout::plan(&config, &mut plan);
    primal_engine::backend::cuda_plan::plan(&mut plan);
    assert_eq!(layout.model.batch().losses.len(), 64 * 512);
    // Spans follow each other, each on a cache line of its own; parts of spans take nothing.
    let lines: usize = plan.entries().iter().map(|entry| entry.bytes.next_multiple_of(64)).sum();
    assert_eq!(plan.total_bytes(), lines, "the arena against its spans");
    assert!(plan.total_bytes() < 4_000_000_000, "{} bytes", plan.total_bytes());
    println!("gpt-0.1b, 64 x 512 tokens: {} bytes", plan.total_bytes());
}

#[test]
fn a_plan_names_the_least_and_what_a_memory_keeps() {
    let plan = |more: &[&str]| {
        let flags = ["plan", "--config", "gpt-0.1b", "--batch", "64", "--seq-len", "512", "--device", "cuda", "--json"];
        let output = primal(&[&flags, more].concat());
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (object["total_bytes"].as_u64().expect("bytes"), object["recompute"].as_bool().expect("a flag"))
    };
    let (least, recompute) = plan(&[]);
    assert!(recompute && least < 4_000_000_000, "{least} bytes");
    let (kept, recompute) = plan(&["--memory", "80GB"]);
    assert!(!recompute && kept > 4 * least, "{kept} bytes");
    assert_eq!(plan(&["--memory", "11GiB"]), (least, true));
    for (flags, expected) in [
        (["--config", "gpt-nano", "--memory", "lots"], "an amount of memory"),
        (["--config", "gpt-nano", "--batch", "40000"], "at most 65535 heads of all sequences of a micro-batch"),
    ] {
        let output = primal(&[&["plan", "--device", "cuda"][..], &flags].concat());
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && message.contains(expected), "{message}");
    }
}

#[test]
fn rows_of_logits_belong_to_a_run() {
    let config = Config::load("gpt-0.1b").expect("an embedded configuration");
    assert_eq!(config.model.logit_rows(&config.train), 1024);
    // A run from before the key was there.
    let before = Config::parse(&config.to_toml().replace("logit_rows = 1024\n", ""), "before").expect("a configuration");
    assert_eq!(before.model.logit_rows(&before.train), 166);
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("wide.toml");
    let text = Config::load("gpt-nano").expect("an embedded configuration").to_toml();
    assert!(!text.contains("logit_rows"), "{text}");
    std::fs::write(&config, text.replace("steps = 200", "steps = 1")).expect("a configuration");
    let (config, run) = (config.display().to_string(), folder.path().join("run"));
    let output = primal(&["train", "--config", &config, "--out", &run.display().to_string()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written = std::fs::read_to_string(run.join("config.toml")).expect("the run's configuration");
    assert!(written.contains("logit_rows = 1024\n"), "{written}");
}

fn primal(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_primal-host")).args(arguments).output().expect("primal-host runs")
}

fn nano(folder: &Path) -> String {
    let mut config = in_tiles();
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
    let begun = folder.path().join("killed/config.toml");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while !begun.exists() {
        assert!(std::time::Instant::now() < deadline, "the run did not begin");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for milliseconds in [100, 150, 250] {
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        kills += u32::from(running.try_wait().expect("a child").is_none());
        running.kill().expect("SIGKILL");
        running.wait().expect("a child");
        running =
            Command::new(env!("CARGO_BIN_EXE_primal-host")).args(["train", "--resume", &at("killed")]).spawn().expect("primal-host runs");
    }
    assert!(kills > 0, "the run ended before it was killed");
    assert!(running.wait().expect("a child").success(), "the resumed run failed after {kills} kills");
    let last =
        |run: &str| std::fs::read(folder.path().join(run).join("checkpoints/step-00000060.safetensors")).expect("the last checkpoint");
    assert!(last("whole") == last("killed"), "the checkpoints differ after {kills} kills");
}

/// A model that no machine has the memory for.
const HUGE: &str = "[model]\ndim = 16384\nlayers = 1024\nheads = 16\ncontext = 1024\ntokenizer = \"gpt2\"\ngrid = \"prime13\"\n[train]\n";

#[test]
fn bad_input_is_refused_with_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let long = HUGE.replace("context = 1024", &format!("context = {}", attention::MAX_SEQ + 1));
    let answers = format!("{HUGE}answers_after = \"\\t\"\n");
    for (name, content) in [
        ("unknown.toml", &b"[model]\ndimm = 3\n"[..]),
        ("empty", b""),
        ("huge.toml", HUGE.as_bytes()),
        ("long.toml", long.as_bytes()),
        ("binary", b"no \xfe\xed text"),
        ("answers.toml", answers.as_bytes()),
        ("short.txt", b"short\n"),
        ("zip", b"PK\x03\x04 and so on"),
    ] {
        std::fs::write(path(name), content).expect("a file");
    }
    std::fs::create_dir(path("folder")).expect("a folder");
    let before = std::fs::read_dir(folder.path()).expect("a folder").count();
    // A word starting with `@` is a path in the folder. Each new run would be at `@run`.
    let train = "train --config gpt-nano --out @run";
    let cases = [
        ("", "train"),
        ("trian", "trian"),
        ("train --heads 3", "--heads"),
        ("train stray", "stray"),
        ("train --config", "--config"),
        ("train --config gpt-nan", "\"gpt-nano\""),
        ("train --config @unknown.toml", "\"dim\""),
        ("train --config @missing.toml", "missing.toml"),
        ("train --config @empty --out @run", "model"),
        ("train --config @folder --out @run", "folder"),
        ("train --config @binary --out @run", "binary"),
        ("train --config @huge.toml --batch 65536 --seq-len 1024 --out @run", "available"),
        ("train --config @long.toml --out @run", "model.context"),
        ("train --config @answers.toml --out @run", "train.answers_after"),
        ("{train} --batch 0", "train.batch"),
        ("{train} --batch -1", "--batch"),
        ("{train} --batch many", "'many'"),
        ("{train} --batch 65537", "65536"),
        ("{train} --batch 99999999999999999999", "--batch"),
        ("{train} --seq-len 65", "model.context = 64"),
        ("{train} --grad-accum 0", "train.grad_accum"),
        ("{train} --steps 0", "train.steps"),
        ("{train} --lr nan", "train.lr"),
        ("{train} --lr -0.1", "train.lr"),
        ("{train} --seed -1", "--seed"),
        ("{train} --seed 9223372036854775808", "train.seed"),
        ("{train} --keep 18446744073709551615", "train.keep"),
        ("{train} --validation-tokens 0", "--validation-tokens: train.validation_tokens"),
        ("{train} --embeddings grid --activations f16", "train.activations"),
        ("{train} --threads 1 --threads 1", "expected once, found again"),
        ("{train} --votes 5", "4 or 8"),
        ("{train} --gradient-rows 24", "a multiple of 16 above 0"),
        ("{train} --gradient-rows -16", "--gradient-rows"),
        ("{train} --gradient-rows 16 --optimizer adamw", "train.gradient_rows"),
        ("{train} --gradient-rows 16 --reduce gradients", "train.gradient_rows"),
        ("{train} --activations f8", "f32 or f16"),
        ("train --resume @folder --activations f16", "--activations"),
        ("{train} --votes 4 --optimizer poltergeist", "train.votes"),
        ("{train} --optimizer sgd", "poltergeist"),
        ("{train} --grid prime17", "prime13"),
        ("{train} --tokenizer gpt3", "english1k"),
        ("{train} --threads 0", "--threads"),
        ("{train} --threads 1000000", "1024"),
        ("{train} --data @empty", "empty file"),
        ("{train} --data @short.txt", "training tokens"),
        ("{train} --tokenizer gpt2 --data @short.txt", "training tokens"),
        ("{train} --data @binary", "offset 3"),
        ("{train} --data @missing", "no such path"),
        ("{train} --data @folder", "folder"),
        ("{train} --data /dev/null", "regular file"),
        ("train --config gpt-nano --out @short.txt", "a file"),
        ("train --config gpt-nano --out @short.txt/run", "--out"),
        ("train --resume @folder", "config.toml"),
        ("train --resume @missing", "the folder of a run"),
        ("train --resume @short.txt", "the folder of a run"),
        ("train --resume @folder --lr 0.1 --seed 7", "--lr, --seed"),
        ("info @zip", "a zip archive"),
        ("info @folder", "a folder"),
        ("info @missing", "missing"),
        ("eval", "--checkpoint"),
        ("eval --checkpoint @short.txt", "damaged"),
        ("generate --checkpoint @folder", "a folder"),
        ("generate --checkpoint @empty", "an empty file"),
        ("plan --config gpt-nano --batch 0", "train.batch"),
        ("report @missing", "metrics.jsonl"),
        ("report @short.txt", "metrics.jsonl"),
    ];
    for (line, word) in cases {
        let line = line.replace("{train}", train);
        let arguments: Vec<String> = line.split_whitespace().map(|word| word.strip_prefix('@').map_or(word.to_string(), path)).collect();
        let output = primal(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {message}");
        assert!(message.contains(word) && message.contains("hint: "), "{line}: no {word:?} in {message}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), before, "{line}: something was written");
    }
    let output = primal(&["train", "--config", "gpt-nano", "--out", ""]);
    assert_eq!(output.status.code(), Some(2), "an empty --out: {}", String::from_utf8_lossy(&output.stderr));
    let (run, config) = (path("run"), nano(folder.path()));
    assert!(primal(&["train", "--config", &config, "--out", &run]).status.success());
    for arguments in [&["train", "--config", &config, "--out", &run][..], &["train", "--resume", &run, "--data", &path("short.txt")]] {
        let output = primal(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_no_panic() {
    let full = || std::fs::File::create("/dev/full").expect("a full disk");
    let mut plan = Command::new(env!("CARGO_BIN_EXE_primal-host"));
    let output = plan.arg("plan").stdout(full()).output().expect("primal-host runs");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("standard output"), "{message}");
    let mut silent = Command::new(env!("CARGO_BIN_EXE_primal-host"));
    assert_eq!(silent.args(["info", "missing"]).stderr(full()).status().expect("primal-host runs").code(), Some(2));
    let mut closed = Command::new(env!("CARGO_BIN_EXE_primal-host"));
    let mut child = closed.arg("plan").stdout(std::process::Stdio::piped()).spawn().expect("primal-host runs");
    drop(child.stdout.take());
    assert!(child.wait().expect("a child").success(), "a reader that closes the pipe early is no failure");
}

/// `/sys` lets nobody make files, not even root.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_is_refused_with_code_2() {
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/train.rs");
    for tokenizer in ["bytes", "english1k", "gpt2"] {
        let output = primal(&["train", "--config", "gpt-nano", "--data", text, "--tokenizer", tokenizer, "--out", "/sys/primal"]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("--out") && message.contains("/sys/primal"), "{message}");
    }
}
