//! What both engines lose on the same tokens.
//!
//! Engines round activations, each in its way, which changes a loss a little. So weights are compared where nothing is rounded: this project as it measures a
//! text, and llama.cpp on the same weights in floats.

use std::path::Path;

use crate::CONTEXT;
use crate::models::{Models, Subject};
use crate::worker::{Ask, Engine, Worker};

/// What a perplexity may differ by where nothing is rounded, and a loss where activations are, as a part of it.
const TOLERANCE: f64 = 5e-3;

/// The heads of the columns of [`row`].
pub fn head() {
    println!(
        "\n| nats a token | tokens | PRIMAL | llama.cpp, F32 | perplexity | PRIMAL, token by token | loss | llama.cpp | loss |\n\
         |---|---|---|---|---|---|---|---|---|"
    );
}

/// Nats a token, in windows one after another.
fn loss(worker: &mut Worker, tokens: &[u32], ask: impl Fn(Vec<u32>) -> Ask) -> Result<f64, String> {
    let (count, mut nats) = (tokens.len() - 1, 0.0);
    for start in (0..count).step_by(CONTEXT) {
        nats += worker.ask::<f64>(&ask(tokens[start..(start + CONTEXT + 1).min(tokens.len())].into()))?;
    }
    Ok(nats / count as f64)
}

/// Measures a text, prints a row, and says whether the losses agree.
///
/// # Errors
/// A worker that failed; a model that cannot be made.
pub fn row(models: &Models, subject: &Subject, text: &str, threads: usize) -> Result<bool, String> {
    let mut worker = Worker::start(Engine::Primal, &subject.ours, threads)?;
    let tokens: Vec<u32> = worker.ask(&Ask::Tokens(text.into()))?;
    if tokens.len() < 2 {
        return Err(format!("--text: expected 2 tokens or more, found {}", tokens.len()));
    }
    let (measured, written) = (loss(&mut worker, &tokens, Ask::Loss)?, loss(&mut worker, &tokens, Ask::LossByToken)?);
    drop(worker);
    let llama = |file: &Path| loss(&mut Worker::start(Engine::Llama, file, threads)?, &tokens, Ask::Loss);
    let (floats, theirs) = (llama(&models.in_floats(subject)?.subject.theirs)?, llama(&subject.theirs)?);
    let off = [(measured - floats).exp_m1(), written / measured - 1.0, theirs / measured - 1.0];
    let said = off.map(|off| format!("{:+.2} %{}", off * 100.0, if off.abs() <= TOLERANCE { "" } else { ", too far" }));
    let count = tokens.len() - 1;
    println!(
        "| {} | {count} | {measured:.4} | {floats:.4} | {} | {written:.4} | {} | {theirs:.4} | {} |",
        subject.name, said[0], said[1], said[2]
    );
    Ok(off.iter().all(|off| off.abs() <= TOLERANCE))
}
