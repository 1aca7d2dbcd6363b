//! The memory of training: a step allocates nothing on the heap, and a whole process stays within the plan.

#[cfg(target_os = "linux")]
mod resident;
#[path = "speech/utterances.rs"]
mod utterances;

use std::alloc::{GlobalAlloc, Layout as AllocLayout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use primal_engine::backend::cpu::Cpu;
use primal_engine::config::{Config, Flips, Recompute, Rule, SpeechConfig, votes_of};
use primal_engine::memory::{Act, Plan};
use primal_engine::train::speech::SpeechTask;
use primal_engine::train::trainer::{Layout, Trainer};
use primal_host::configurations::Load;
use primal_host::data::{Corpus, CorpusOptions, TextCodec};

use utterances::{Random, batch};

/// Counts what the threads of the watched pool ask of the heap.
struct Counting;

/// Requests for memory by threads of the watched pool.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The number of the watched pool. Threads of an earlier one may end late, and clean up.
static WATCHED: AtomicU64 = AtomicU64::new(0);

/// Held by a test that watches a pool.
static WATCHING: Mutex<()> = Mutex::new(());

thread_local! {
    /// The number of the pool that a thread is of.
    static POOL: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends has no thread-local values any more.
    let pool = POOL.try_with(Cell::get).unwrap_or(0);
    if pool != 0 && pool == WATCHED.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every request is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: AllocLayout) -> *mut u8 {
        count();
        // SAFETY: by the caller's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: AllocLayout) -> *mut u8 {
        count();
        // SAFETY: by the caller's contract.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: AllocLayout, size: usize) -> *mut u8 {
        count();
        // SAFETY: by the caller's contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: AllocLayout) {
        // SAFETY: by the caller's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A pool whose workers are watched, and nothing else: other tests and the test harness allocate as they like. A worker allocates when it
/// starts, which may be long after the pool is built, and when it first looks at a queue of jobs, so watching begins after a job of each.
fn watched_pool(threads: usize) -> rayon::ThreadPool {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let number = WATCHED.fetch_add(1, Ordering::Relaxed) + 1;
    pool.broadcast(|_| POOL.set(number));
    pool
}

/// Allocations of the pool's threads during `work`, which runs inside of the pool as the command line runs it.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    work();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// Steps after which nothing is allocated any more: the first one detects the processor.
const WARM_UP: u64 = 3;
const STEPS: u64 = 20;

fn config(rule: Rule, recompute: Recompute) -> Config {
    let mut config = Config::load("gpt-nano").expect("an embedded configuration");
    config.model.context = 32;
    let t = &mut config.train;
    (t.optimizer, t.recompute) = (rule, recompute);
    (t.batch, t.seq_len, t.grad_accum, t.steps) = (3, 29, 2, 1000);
    config
}

fn trainer(config: &Config) -> Trainer<Cpu> {
    let mut plan = Plan::default();
    let layout = Layout::plan(config, &mut plan);
    let mut trainer = Trainer::new(config.clone(), layout, Cpu::new(&mut plan));
    trainer.initialise();
    trainer
}

fn steps_allocate_nothing(config: &Config, corpus: &Corpus, what: &str) {
    for threads in [1, 2] {
        let counted = watched_pool(threads).install(|| {
            let mut trainer = trainer(config);
            let mut steps = |count| {
                for _ in 0..count {
                    trainer.step(corpus).expect("a step");
                    trainer.validate(corpus).expect("a validation");
                }
            };
            steps(WARM_UP);
            allocations(|| steps(STEPS))
        });
        assert_eq!(counted, 0, "{what}, {threads} threads: allocations in {STEPS} steps and validations");
    }
}

/// A step of GhostTTS, without the choice of its utterances: each epoch has a new order.
#[test]
fn a_step_of_speech_allocates_nothing() {
    let _alone = WATCHING.lock().unwrap_or_else(PoisonError::into_inner);
    for rule in [Rule::Votes, Rule::Adamw] {
        for threads in [1, 2] {
            let counted = watched_pool(threads).install(|| {
                let mut config = SpeechConfig::load("ghost-tts-nano").expect("an embedded configuration");
                config.train.optimizer = rule;
                let t = &config.train;
                let mut plan = Plan::default();
                let Layout { model, parameters, optimizer, .. } = Layout::<SpeechTask>::plan(&config, &mut plan);
                let b = &mut Cpu::new(&mut plan);
                model.prepare(b);
                optimizer.initialise(b, &parameters, &config.train);
                let utterances = [4, 9].map(|phones| Random::new(phones, phones as usize, model.mels));
                let utterances = batch(&model, &utterances);
                let mut steps = |from, count| {
                    for step in from..from + count {
                        let lengths = model.load(b, &utterances);
                        optimizer.zero_gradients(b);
                        model.train(b, &parameters, &mut optimizer.sink(&parameters, t, step, 0), &lengths, 1.0);
                        optimizer.step(b, &parameters, t, step);
                    }
                };
                steps(0, WARM_UP);
                allocations(|| steps(WARM_UP, STEPS))
            });
            assert_eq!(counted, 0, "{rule:?}, {threads} threads: allocations in {STEPS} steps");
        }
    }
}

#[test]
fn a_step_allocates_nothing() {
    let _alone = WATCHING.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = watched_pool(2).install(|| allocations(|| drop(black_box(rayon::join(|| vec![1u8; 100], || vec![2u8; 100])))));
    assert!(seen >= 2, "the allocator does not count: {seen} of 2 allocations");

    let options = CorpusOptions { stories_bytes: 100_000, ..CorpusOptions::default() };
    let corpus = Corpus::open(&["stories".to_string()], TextCodec::Bytes, &options).expect("stories");
    for &rule in Rule::ALL {
        for recompute in [Recompute::On, Recompute::Off] {
            steps_allocate_nothing(&config(rule, recompute), &corpus, &format!("{rule:?}, recompute {recompute:?}"));
        }
    }
    let mut half = config(Rule::Votes, Recompute::Off);
    half.train.activations = Act::F16;
    steps_allocate_nothing(&half, &corpus, "activations in f16");
    let mut config = config(Rule::Votes, Recompute::Auto);
    config.train.votes = votes_of(4).expect("4 bits");
    (config.train.flips, config.train.rescale_every) = (Flips::MicroBatch, 2);
    steps_allocate_nothing(&config, &corpus, "4-bit votes, flips by micro-batch, rows re-scaled");
}

/// What a process may hold beyond its plan, or fall short of it, as a share of the plan.
#[cfg(target_os = "linux")]
const RESIDENT_TOLERANCE: f64 = 0.1;

/// Peak resident memory of `primal-host` with these arguments, in bytes.
#[cfg(target_os = "linux")]
fn peak_resident(arguments: &[&str]) -> f64 {
    resident::peak_resident(std::process::Command::new(env!("CARGO_BIN_EXE_primal-host")).args(arguments)) as f64
}

#[cfg(target_os = "linux")]
fn planned_bytes(config: &str) -> f64 {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_primal-host"));
    let output = command.args(["plan", "--json", "--config", config]).output().expect("primal-host runs");
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    plan["total_bytes"].as_f64().expect("total_bytes")
}

/// A run that trains, validates, samples, saves, writes its report and is resumed, never holds more than its plan and a
/// baseline: what a run of the smallest model over the same text holds beyond its own plan (the program, its heap and
/// stacks, 8 MB of stories).
#[cfg(target_os = "linux")]
#[test]
fn a_process_stays_within_its_plan() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let measure = |name: &str, rule, [dim, layers, context, batch]: [usize; 4]| {
        let mut config = config(rule, Recompute::Off);
        (config.model.dim, config.model.layers, config.model.context) = (dim, layers, context);
        let t = &mut config.train;
        (t.batch, t.seq_len, t.grad_accum, t.steps) = (batch, context, 1, 2);
        (t.validate_every, t.validation_tokens, t.checkpoint_every, t.keep) = (1, 500, 1, 1);
        let (file, run) = (path(&format!("{name}.toml")), path(name));
        std::fs::write(&file, config.to_toml()).expect("a configuration");
        let planned = planned_bytes(&file);
        let fresh = peak_resident(&["train", "--config", &file, "--out", &run]);
        [planned, fresh, peak_resident(&["train", "--resume", &run, "--steps", "3"])]
    };
    let [planned, fresh, _] = measure("smallest", Rule::Votes, [8, 1, 16, 1]);
    let baseline = fresh - planned;
    // One where parameters and their state are most of the plan, one where activations are.
    for (name, rule, shape) in [("state", Rule::Adamw, [768, 3, 16, 4]), ("activations", Rule::Votes, [64, 2, 64, 512])] {
        let [planned, fresh, resumed] = measure(name, rule, shape);
        assert!(planned > 300e6, "{name}: a plan of {planned} bytes is too small to compare");
        for (what, peak) in [("fresh", fresh), ("resumed", resumed)] {
            let share = (peak - baseline) / planned;
            println!("{name}, {what}: peak {peak} B - baseline {baseline} B = {share:.3} of the plan of {planned} B");
            assert!((share - 1.0).abs() <= RESIDENT_TOLERANCE, "{name}, {what}: {share:.3} of the planned {planned} bytes are resident");
        }
    }
}

/// What the program itself takes while it runs a model, in bytes.
#[cfg(target_os = "linux")]
const PROGRAM: f64 = 30e6;

/// The plan of running a configuration, with these arguments besides.
#[cfg(target_os = "linux")]
fn plan_of_running(arguments: &[&str]) -> [f64; 3] {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_primal-host"));
    let output = command.args(["plan", "--generate", "--json", "--config"]).args(arguments).output().expect("primal-host runs");
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    ["total_bytes", "cache_bytes", "mapped_bytes"].map(|key| plan[key].as_f64().expect("a number"))
}

#[cfg(target_os = "linux")]
#[test]
fn a_model_of_1_1_billion_weights_runs_in_half_a_gigabyte() {
    for (scales, most) in [("row", 560e6), ("group32", 640e6)] {
        let [total, cache, _] = plan_of_running(&["llama-1.1b", "--scales", scales]);
        assert!(total <= most + cache, "{scales}: {total} bytes, of which {cache} are the cache");
        assert!(cache == 22.0 * 2.0 * 2048.0 * 4.0 * 64.0 * 2.0, "{cache} bytes of keys and values in halves");
    }
    // A smaller one, really run.
    let folder = tempfile::tempdir().expect("a folder");
    let [config, model] = ["model.toml", "model.safetensors"].map(|name| folder.path().join(name).display().to_string());
    let sizes = "architecture = 'llama'\ndim = 1024\nlayers = 6\nheads = 16\nkv_heads = 4\nhidden = 2816\ncontext = 512\nvocab = 8192";
    let text = format!("[model]\n{sizes}\ntokenizer = 'bytes'\nembeddings = 'matrix'\ngrid = 'uniform15'\nscales = 'group32'\n[train]\n");
    std::fs::write(&config, text).expect("a configuration");
    peak_resident(&["init", "--config", &config, "--out", &model]);
    let [total, _, mapped] = plan_of_running(&[&config]);
    let peak = peak_resident(&["generate", "--checkpoint", &model, "--max-tokens", "20", "--prompt", &"text ".repeat(60)]);
    assert!(peak <= total + PROGRAM && peak >= mapped, "{peak} bytes resident of {total} planned, of which {mapped} are mapped");
}

/// Fine-tuning the linear layers of Llama 2 7B by votes of 8 and of 4 bits, 512 tokens at a time, in bytes.
const SEVEN_BILLION: [(&str, f64); 2] = [("8", 11.3e9), ("4", 8.0e9)];

#[test]
fn seven_billion_weights_are_fine_tuned_in_11_or_8_gigabytes() {
    for (votes, most) in SEVEN_BILLION {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_primal-host"));
        let output = command.args(["plan", "--json", "--config", "llama-7b", "--votes", votes]).output().expect("primal-host runs");
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        let [total, weights] = ["total_bytes", "grid_weights"].map(|key| plan[key].as_f64().expect("a number"));
        assert!(weights > 6.7e9, "{weights} weights");
        assert!(total <= most, "votes of {votes} bits: {total} bytes");
    }
}

/// Of the parameters and state of a whole GPT, its tables among them, in bytes a parameter.
const WHOLE: f64 = 1.7;

#[test]
fn a_gpt_with_its_tables_on_the_grid_keeps_1_7_bytes_a_parameter() {
    let mut config = Config::load("gpt-0.1b").expect("an embedded configuration");
    config.model.embeddings = primal_engine::nn::embedding::Embeddings::Matrix;
    config.train.trains_table = Some(true);
    let mut plan = Plan::default();
    let layout: Layout = Layout::plan(&config, &mut plan);
    let vectors: usize = layout.parameters.vectors.iter().map(|vector| vector.len()).sum();
    let count = layout.parameters.specs.matrix_weights() + vectors;
    let kept = plan.bytes_of(primal_engine::memory::Kind::Parameter) + plan.bytes_of(primal_engine::memory::Kind::State);
    assert!(kept as f64 <= WHOLE * count as f64, "{kept} bytes of {count} parameters");
}
