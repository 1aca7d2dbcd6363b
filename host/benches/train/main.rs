//! Tokens and floating-point operations a second of whole training steps, beside the peak of the `gemm` crate on the same products in the
//! same run. A step and a round of the peer alternate, so that both see the same machine; medians are compared. With `--seed`, steps of the
//! PyTorch project that PRIMAL began as take turns with them.
//!
//! Only the operations of [`operations`] count: not what is recomputed, and nothing element-wise. `--profile` prints where the time of the steps went, by
//! op, and how long the step's operations would take at the peak.

#[path = "../shared/arguments.rs"]
mod arguments;
mod seed;

use std::path::PathBuf;
use std::time::Instant;

use argh::FromArgs;
use arguments::arguments;
use gemm::Parallelism;
use primal_engine::backend::cpu::Cpu;
use primal_engine::backend::profile::Profile;
use primal_engine::config::{Config, RULES, rule};
use primal_engine::memory::Plan;
use primal_engine::train::trainer::{Layout, Trainer};
use primal_host::configurations::Load;
use primal_host::data::{Corpus, CorpusOptions, TextCodec};
use seed::Seed;

/// time training steps beside the peak of the gemm crate
#[derive(FromArgs)]
struct Arguments {
    /// a configuration; may be repeated (default: gpt-small-cpu and gpt-0.1b)
    #[argh(option)]
    config: Vec<String>,
    /// votes (default), poltergeist, qat or adamw
    #[argh(option, default = "String::from(\"votes\")")]
    optimizer: String,
    /// threads (default: all cores)
    #[argh(option)]
    threads: Option<usize>,
    /// seconds of measurement per configuration
    #[argh(option, default = "30.0")]
    seconds: f64,
    /// a clone of batteryphil/Primal-Discrete-LLM-Training, whose own step is timed beside that of gpt-0.1b
    #[argh(option)]
    seed: Option<PathBuf>,
    /// a Python with PyTorch for --seed (default: an environment made for it)
    #[argh(option)]
    python: Option<PathBuf>,
    /// print the time of each op as well
    #[argh(switch)]
    profile: bool,
}

fn main() {
    let arguments: Arguments = arguments();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads.unwrap_or(0)).build().expect("threads");
    println!("{} thread(s); medians over alternating rounds", pool.current_num_threads());
    println!("| configuration | tokens a step | step, ms | tokens/s | GFLOP/s | gemm crate, GFLOP/s | ratio |");
    println!("|---|---|---|---|---|---|---|");
    let names = if arguments.config.is_empty() { vec!["gpt-small-cpu".into(), "gpt-0.1b".into()] } else { arguments.config.clone() };
    for name in names {
        if let Err(error) = pool.install(|| measure(&name, &arguments)) {
            eprintln!("{error}");
            std::process::exit(error.exit_code().into());
        }
    }
    if arguments.seed.is_none() {
        println!("\n{}", seed::HOW);
    }
}

fn measure(name: &str, arguments: &Arguments) -> primal_host::Result<()> {
    let mut config = Config::load(name)?;
    config.train.optimizer =
        rule(&arguments.optimizer).ok_or_else(|| primal_host::Error::bad_input("--optimizer", RULES, &arguments.optimizer, "name one"))?;
    let options = CorpusOptions { stories_bytes: 500_000, ..CorpusOptions::default() };
    let corpus = Corpus::open(&["stories".into()], TextCodec::named(config.model.tokenizer)?, &options)?;
    let mut plan = Plan::default();
    let layout: Layout = Layout::plan(&config, &mut plan);
    let shapes: Vec<_> = layout.parameters.specs.matrices.iter().map(|m| [m.out_features, m.in_features]).collect();
    let tokens = config.train.batch * config.train.seq_len;
    let flops = operations(&config, layout.parameters.specs.matrix_weights(), tokens * config.train.grad_accum as usize);
    let shape = [config.train.batch, config.train.seq_len, rayon::current_num_threads()];
    let mut trainer = Trainer::new(config, layout, Cpu::new(&mut plan));
    trainer.initialise();
    let mut peer = Peer::new(&shapes, tokens);

    let clone = arguments.seed.as_ref().filter(|_| name == seed::CONFIG);
    let of_seed = |message: String| primal_host::Error::bad_input("--seed", "a clone, and a Python with PyTorch", message, seed::HOW);
    let seed = clone.map(|clone| Seed::start(clone, arguments.python.as_deref(), shape)).transpose();
    let mut seed = seed.map_err(of_seed)?;

    trainer.step(&corpus)?;
    peer.round();
    if arguments.profile {
        trainer.backend.start_profile();
    }
    let (mut steps, mut rounds, mut seeds) = (Vec::new(), Vec::new(), Vec::new());
    let start = Instant::now();
    while steps.len() < 3 || start.elapsed().as_secs_f64() < arguments.seconds {
        steps.push(seconds(|| Ok(trainer.step(&corpus).map(|_| ())?))?);
        rounds.push(seconds(|| {
            peer.round();
            Ok(())
        })?);
        if let Some(seed) = &mut seed {
            seeds.push(seed.step().map_err(of_seed)?);
        }
    }
    let profile = trainer.backend.take_profile();
    let seconds_of_steps = steps.iter().sum::<f64>() / steps.len() as f64;
    let (step, round) = (median(&mut steps), median(&mut rounds));
    let (ours, peak) = (flops / step / 1e9, peer.operations() / round / 1e9);
    println!(
        "| {name} | {tokens} | {:.1} | {:.0} | {ours:.1} | {peak:.1} | {:.0} % |",
        step * 1e3,
        tokens as f64 / step,
        ours / peak * 100.0
    );
    if let Some(seed) = seed {
        let of_seed = median(&mut seeds);
        println!("| its step in {} | {tokens} | {:.1} | {:.0} | | | |", seed.name, of_seed * 1e3, tokens as f64 / of_seed);
        println!("\n{:.2} × the tokens of the PyTorch step", of_seed / step);
    }
    if let Some(profile) = profile {
        print_profile(&profile, steps.len() as f64, seconds_of_steps, flops, peak);
    }
    Ok(())
}

/// A mean step by op: `seconds` each, of `flops` operations that could run at `peak` GFLOP/s.
fn print_profile(profile: &Profile, steps: f64, seconds: f64, flops: f64, peak: f64) {
    let ceiling = flops / peak / 1e9;
    println!(
        "\n{:.1} GFLOP a step take {:.1} ms at the gemm crate's peak, {:.0} % of a mean step\n",
        flops / 1e9,
        ceiling * 1e3,
        ceiling / seconds * 100.0
    );
    println!("| op | calls | ms | share | GFLOP/s | of the peak |");
    println!("|---|---|---|---|---|---|");
    let mut rest = seconds;
    for (name, times) in profile.heaviest() {
        let of_step = times.seconds / steps;
        rest -= of_step;
        let rate = times.flops / times.seconds / 1e9;
        let rates = if times.flops > 0.0 { format!("{rate:.1} | {:.0} %", rate / peak * 100.0) } else { "|".into() };
        println!("| {name} | {:.0} | {:.2} | {:.1} % | {rates} |", times.runs as f64 / steps, of_step * 1e3, of_step / seconds * 100.0);
    }
    println!("| between ops | | {:.2} | {:.1} % | | |\n", rest * 1e3, rest / seconds * 100.0);
}

fn seconds(work: impl FnOnce() -> primal_host::Result<()>) -> primal_host::Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Floating-point operations of a step: 6 a weight and token; attention has 2 products forward and 4 backward, each of
/// 2·dim·seq_len operations a token, of which the causal mask leaves half.
fn operations(config: &Config, weights: usize, tokens: usize) -> f64 {
    let attention = 6 * config.model.layers * config.model.dim * config.train.seq_len;
    tokens as f64 * (6 * weights + attention) as f64
}

/// All products of the linear layers of a step, by the `gemm` crate over float weights.
struct Peer {
    shapes: Vec<[usize; 2]>,
    tokens: usize,
    x: Vec<f32>,
    dy: Vec<f32>,
    w: Vec<f32>,
    out: Vec<f32>,
}

impl Peer {
    fn new(shapes: &[[usize; 2]], tokens: usize) -> Self {
        let largest = |size: fn(&[usize; 2]) -> usize| shapes.iter().map(size).max().expect("linear layers");
        let values = |n: usize| (0..n).map(|i| (i % 17) as f32 / 17.0 - 0.5).collect::<Vec<_>>();
        let (outputs, inputs, weights) = (largest(|s| s[0]), largest(|s| s[1]), largest(|s| s[0] * s[1]));
        let out = weights.max(tokens * outputs.max(inputs));
        Self {
            shapes: shapes.to_vec(),
            tokens,
            x: values(tokens * inputs),
            dy: values(tokens * outputs),
            w: values(weights),
            out: vec![0.0; out],
        }
    }

    fn operations(&self) -> f64 {
        self.shapes.iter().map(|[n, k]| 6.0 * (self.tokens * n * k) as f64).sum()
    }

    fn round(&mut self) {
        let (tokens, out) = (self.tokens, &mut self.out);
        for &[outputs, inputs] in &self.shapes {
            // y = x·Wᵀ, dx = dy·W, dW = dyᵀ·x; strides are (row, column).
            product(out, [tokens, outputs, inputs], (&self.x, [inputs, 1]), (&self.w, [1, inputs]));
            product(out, [tokens, inputs, outputs], (&self.dy, [outputs, 1]), (&self.w, [inputs, 1]));
            product(out, [outputs, inputs, tokens], (&self.dy, [1, outputs]), (&self.x, [inputs, 1]));
        }
        std::hint::black_box(&self.out);
    }
}

fn product(out: &mut [f32], [m, n, k]: [usize; 3], (a, a_strides): (&[f32], [usize; 2]), (b, b_strides): (&[f32], [usize; 2])) {
    assert!(out.len() >= m * n && a.len() >= m * k && b.len() >= k * n);
    let [a_row, a_column, b_row, b_column] = [a_strides[0], a_strides[1], b_strides[0], b_strides[1]].map(|s| s as isize);
    let threads = rayon::current_num_threads();
    let parallelism = if threads > 1 { Parallelism::Rayon(threads) } else { Parallelism::None };
    // SAFETY: the operands hold m × n, m × k and k × n values with these strides, as checked.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.as_ptr(),
            a_column,
            a_row,
            b.as_ptr(),
            b_column,
            b_row,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
