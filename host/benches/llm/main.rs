//! `cargo xtask bench llm`: whole language models in PRIMAL and in llama.cpp, on the same weights, in turns.

#[path = "../ggml/library.rs"]
mod library;
mod llama_cpp;
mod primal;
mod worker;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use argh::FromArgs;
use worker::{Ask, Engine, Model, Worker, loss, serve};

/// The text that is read.
const PAGE: &str = include_str!("../../src/cli/import/page.txt");
/// Tokens that contexts have room for.
const CONTEXT: usize = 512;
/// Tokens of the prompt whose reading is timed.
const PROMPT: usize = 256;
/// Tokens that are written after a short prompt, and those of the prompt.
const WRITTEN: usize = 64;
const SHORT: usize = 16;

/// decoding and prompts of whole models, beside llama.cpp
#[derive(FromArgs)]
struct Flags {
    /// a GGUF file
    #[argh(option)]
    model: Option<PathBuf>,
    /// threads (default: 1, then 2)
    #[argh(option)]
    threads: Option<usize>,
    /// rounds, of which the median is taken (default 7)
    #[argh(option, default = "7")]
    rounds: usize,
    /// the engine whose worker this is
    #[argh(option, hidden_help)]
    worker: Option<String>,
    /// passed on by cargo
    #[argh(switch)]
    #[expect(dead_code, reason = "cargo gives it to every benchmark")]
    bench: bool,
}

impl Model for llama_cpp::Llama {
    fn clear(&mut self) {
        llama_cpp::Llama::clear(self);
    }

    fn read(&mut self, tokens: &[u32]) -> Result<&[f32], String> {
        llama_cpp::Llama::read(self, tokens, false)
    }

    fn loss(&mut self, tokens: &[u32]) -> Result<f64, String> {
        let (vocab, inputs) = (self.vocab(), tokens.len() - 1);
        let logits = llama_cpp::Llama::read(self, &tokens[..inputs], true)?;
        Ok(loss(logits, vocab, &tokens[1..]))
    }

    fn tokens(&self, _: &str) -> Result<Vec<u32>, String> {
        Err("the other engine gives tokens".into())
    }
}

fn work(engine: &str, flags: &Flags) -> Result<(), String> {
    let began = Instant::now();
    let (Some(model), Some(threads)) = (&flags.model, flags.threads) else { return Err("a model and threads".into()) };
    match engine {
        "primal" => primal::work(model, threads, CONTEXT, began),
        "llama" => {
            let mut model = llama_cpp::Llama::load(model, None, threads, CONTEXT)?;
            let name = model.name.clone();
            serve(&mut model, name, began)
        }
        _ => Err(format!("no engine {engine}")),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The largest difference of two rows of logits, as a part of the largest.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let largest = b.iter().fold(0.0f32, |largest, logit| largest.max(logit.abs()));
    a.iter().zip(b).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs())) / largest
}

/// Runs this project's program.
fn primal_host<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<(), String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primal-host"));
    command.args(arguments);
    let output = command.output().map_err(|e| e.to_string())?;
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())) }
}

fn run(flags: &Flags) -> Result<(), String> {
    let gguf = flags.model.as_deref().ok_or("--model FILE.gguf")?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("llm");
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let ours = folder.join(gguf.file_stem().unwrap_or_default()).with_extension("safetensors");
    let import = ["import".as_ref(), "model".as_ref(), gguf.as_os_str(), "--out".as_ref(), ours.as_os_str(), "--no-loss".as_ref()];
    primal_host(import)?;
    for threads in flags.threads.map_or(vec![1, 2], |threads| vec![threads]) {
        let engines = [(Engine::Primal, ours.as_path()), (Engine::Llama, gguf)];
        let mut workers = engines.into_iter().map(|(engine, path)| Worker::start(engine, path, threads)).collect::<Result<Vec<_>, _>>()?;
        let page: Vec<u32> = workers[0].ask(&Ask::Tokens(PAGE.into()))?;
        let tokens: Vec<u32> = page.iter().copied().cycle().take(CONTEXT).collect();
        let prompt = || Ask::Read(tokens[..PROMPT].into());
        let text = || Ask::Write { prompt: tokens[..SHORT].into(), tokens: tokens[SHORT..SHORT + WRITTEN].into() };
        let mut logits = Vec::new();
        for worker in &mut workers {
            logits.push(worker.ask::<Vec<f32>>(&Ask::Logits(tokens[..PROMPT].into()))?);
        }
        println!("largest difference of a logit: {:.1e} of the largest", difference(&logits[0], &logits[1]));
        let mut times = vec![[Vec::new(), Vec::new()]; workers.len()];
        for _ in 0..flags.rounds {
            for (worker, [prompts, texts]) in workers.iter_mut().zip(&mut times) {
                prompts.push(worker.ask::<f64>(&prompt())?);
                texts.push(worker.ask::<f64>(&text())?);
            }
        }
        let rates: Vec<[f64; 2]> = times.into_iter().map(|[p, t]| [PROMPT as f64 / median(p), WRITTEN as f64 / median(t)]).collect();
        for (worker, [prompt, text]) in workers.iter().zip(&rates) {
            println!("{threads} threads: prompt {prompt:8.1} tokens/s, text {text:8.1} tokens/s  {}", worker.ready.name);
        }
        println!("{threads} threads: prompt {:.2} ×, text {:.2} × llama.cpp's", rates[0][0] / rates[1][0], rates[0][1] / rates[1][1]);
    }
    Ok(())
}

fn main() -> ExitCode {
    let flags: Flags = argh::from_env();
    let done = flags.worker.as_ref().map_or_else(|| run(&flags), |engine| work(engine, &flags));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("llm: {error}");
            ExitCode::FAILURE
        }
    }
}
