//! Tokens a second, time to the first token, and memory.

use std::path::Path;

use primal_engine::files::open;

use crate::models::Subject;
use crate::worker::{Ask, Engine, Worker};
use crate::{CONTEXT, PAGE};

/// Tokens of the prompt whose reading is timed.
const PROMPT: usize = 256;
/// Tokens of the prompt after which the first token is awaited.
const QUESTION: usize = 32;
/// Tokens that are written after a short prompt, and those of the prompt.
const WRITTEN: usize = 64;
const SHORT: usize = 16;
/// The share of bandwidth above which it is memory that is waited for.
const MEMORY_BOUND: f64 = 0.85;
/// What logits may differ by, as a part of the largest, in engines that round activations to 8 bits: far less than of a wrong model.
const TOLERANCE: f32 = 0.1;

/// What was measured of one engine.
#[derive(Default)]
struct Times {
    prompt: Vec<f64>,
    first: Vec<f64>,
    text: Vec<f64>,
    /// From the start of the program.
    from_start: f64,
    peak: u64,
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The largest difference of two rows of logits, as a part of the largest.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let largest = b.iter().fold(0.0f32, |largest, logit| largest.max(logit.abs()));
    a.iter().zip(b).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs())) / largest
}

/// Bytes of weights that a token needs: of embeddings only its row, unless they are the head as well.
fn bytes_of_token(model: &Path) -> Result<f64, String> {
    let file = open(model).map_err(|e| e.to_string())?;
    let has_head = file.names().any(|name| name.starts_with("head.") || name == "output.weight");
    let is_table = |name: &str| name.starts_with("embedding.") || name.starts_with("token_embd.");
    let used = file.names().filter(|name| !(name.starts_with("files/") || has_head && is_table(name)));
    let bytes = used.map(|name| file.view(name).and_then(|view| Ok(view.bytes()?.len())).map_err(|e| e.to_string()));
    Ok(bytes.sum::<Result<usize, _>>()? as f64)
}

/// The heads of the columns of [`rows`].
pub fn head() {
    println!(
        "| model | threads | engine | prompt, tokens/s | × | text, tokens/s | × | of bandwidth | first token, ms | from the start, ms | memory, MB |\n\
         |---|---|---|---|---|---|---|---|---|---|---|"
    );
}

/// Times a model in all engines, in turns, and prints a row of each; × is against llama.cpp in its best variant.
///
/// # Errors
/// A worker that failed; logits that differ.
pub fn rows(subject: &Subject, engines: &[Engine], threads: usize, rounds: usize, bandwidth: f64) -> Result<(), String> {
    let mut workers = Vec::new();
    for &engine in engines {
        let file = if engine.is_ours() { &subject.ours } else { &subject.theirs };
        workers.push((Worker::start(engine, file, threads)?, Times::default(), bytes_of_token(file)?));
    }
    let page: Vec<u32> = workers[0].0.ask(&Ask::Tokens(PAGE.into()))?;
    let tokens: Vec<u32> = page.into_iter().cycle().take(CONTEXT).collect();
    let [question, prompt, short] = [QUESTION, PROMPT, SHORT].map(|count| tokens[..count].to_vec());
    let written = tokens[SHORT..SHORT + WRITTEN].to_vec();
    let mut expected: Option<Vec<f32>> = None;
    for (worker, times, _) in &mut workers {
        times.from_start = worker.ready.load + worker.ask::<f64>(&Ask::Read(question.clone()))?;
        let logits: Vec<f32> = worker.ask(&Ask::Logits(prompt.clone()))?;
        let off = difference(&logits, expected.get_or_insert_with(|| logits.clone()));
        if off.is_nan() || off > TOLERANCE {
            return Err(format!("{}: {}: logits differ by {off} of the largest, tolerance {TOLERANCE}", subject.name, worker.ready.name));
        }
    }
    for _ in 0..rounds {
        for (worker, times, _) in &mut workers {
            times.prompt.push(worker.ask(&Ask::Read(prompt.clone()))?);
            times.first.push(worker.ask(&Ask::Read(question.clone()))?);
            times.text.push(worker.ask(&Ask::Write { prompt: short.clone(), tokens: written.clone() })?);
        }
    }
    let mut rates = Vec::new();
    for (worker, times, _) in &mut workers {
        times.peak = worker.ask(&Ask::Peak)?;
        rates.push([PROMPT as f64 / median(&mut times.prompt), WRITTEN as f64 / median(&mut times.text)]);
    }
    let best = engines.iter().position(|engine| *engine == Engine::Llama).map_or(rates[0], |i| rates[i]);
    for ((worker, times, bytes), [prompt, text]) in workers.iter_mut().zip(rates) {
        let share = *bytes * text / bandwidth;
        println!(
            "| {} | {threads} | {} | {prompt:.0} | {:.2} | {text:.1} | {:.2} | {:.0} %{} | {:.0} | {:.0} | {:.0} |",
            subject.name,
            worker.ready.name,
            prompt / best[0],
            text / best[1],
            share * 100.0,
            if share > MEMORY_BOUND { ", memory-bound" } else { "" },
            median(&mut times.first) * 1e3,
            times.from_start * 1e3,
            times.peak as f64 / 1e6,
        );
    }
    Ok(())
}
