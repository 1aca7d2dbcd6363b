//! What both engines lose on the same tokens.

use crate::CONTEXT;
use crate::models::Subject;
use crate::worker::{Ask, Engine, Worker};

/// What a perplexity may differ by, as a part of it.
const TOLERANCE: f64 = 5e-3;

/// The heads of the columns of [`row`].
pub fn head() {
    println!("\n| model | tokens | nats a token, PRIMAL | llama.cpp | perplexity, PRIMAL | llama.cpp | |\n|---|---|---|---|---|---|---|");
}

/// Measures windows of a text one after another, prints a row, and says whether the perplexities agree.
///
/// # Errors
/// A worker that failed.
pub fn row(subject: &Subject, text: &str, threads: usize) -> Result<bool, String> {
    let engines = [(Engine::Primal, &subject.ours), (Engine::Llama, &subject.theirs)];
    let mut tokens: Vec<u32> = Vec::new();
    let (mut nats, mut count) = ([0.0; 2], 0);
    for ((engine, file), nats) in engines.into_iter().zip(&mut nats) {
        let mut worker = Worker::start(engine, file, threads)?;
        if engine == Engine::Primal {
            tokens = worker.ask(&Ask::Tokens(text.into()))?;
        }
        count = tokens.len().saturating_sub(1);
        if count == 0 {
            return Err("the text: expected 2 tokens or more".into());
        }
        for start in (0..count).step_by(CONTEXT) {
            let window = &tokens[start..(start + CONTEXT + 1).min(tokens.len())];
            *nats += worker.ask::<f64>(&Ask::Loss(window.into()))?;
        }
    }
    let [ours, theirs] = nats.map(|nats| nats / count as f64);
    let off = (ours - theirs).exp_m1();
    let is_good = off.abs() <= TOLERANCE;
    println!(
        "| {} | {count} | {ours:.4} | {theirs:.4} | {:.3} | {:.3} | {:+.2} %{} |",
        subject.name,
        ours.exp(),
        theirs.exp(),
        off * 100.0,
        if is_good { "" } else { ", too far" }
    );
    Ok(is_good)
}
