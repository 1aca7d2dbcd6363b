//! Tokens from a model, one by one.

use std::time::{Duration, Instant};

use primal_device::philox::{RandomStream, uniform};

use super::text::TextDecoder;
use crate::backend::Backend;
use crate::nn::Parameters;
use crate::{Error, Result};

/// How the next token is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f32,
    /// Draws from the likeliest tokens that together have this probability (Holtzman et al. 2020).
    pub top_p: f32,
    /// Seed.
    pub seed: u64,
}

/// The index drawn from logits; `draw` in [0, 1).
pub fn draw(logits: &[f32], sampling: Sampling, draw: f32) -> u32 {
    let likeliest = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a))).expect("a vocabulary");
    if sampling.temperature <= 0.0 {
        return likeliest as u32;
    }
    let weights: Vec<f64> = logits.iter().map(|l| f64::from((l - logits[likeliest]) / sampling.temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    // Those below it have less than 1 − top_p together, so none of them is drawn, and they need not be sorted.
    let least = total * (1.0 - f64::from(sampling.top_p)) / weights.len() as f64;
    let mut order: Vec<usize> = (0..weights.len()).filter(|&i| weights[i] >= least).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
    let mut kept = 0.0;
    let count = order.iter().position(|&i| {
        kept += weights[i];
        kept >= total * f64::from(sampling.top_p)
    });
    order.truncate(count.map_or(order.len(), |c| c + 1));
    let mut left = f64::from(draw) * kept;
    let drawn = order.iter().find(|&&i| {
        left -= weights[i];
        left < 0.0
    });
    *drawn.or(order.last()).unwrap_or(&likeliest) as u32
}

/// How long a text took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Tokens of the prompt that were read.
    pub prompt_tokens: usize,
    /// Time to read the prompt.
    pub prompt: Duration,
    /// Tokens written after the first one.
    pub decoded_tokens: usize,
    /// Time to write the tokens.
    pub decoding: Duration,
}

/// Continues `prompt`, of at least one token, by `max_tokens` tokens; `emit` gets each of them. When the context is full, the model starts over from
/// the last half of it.
///
/// # Errors
/// Those of `emit`, which end it; a model that gives numbers that are not finite; a device that failed.
pub fn generate<B: Backend, E: From<Error>>(
    b: &mut B,
    p: &Parameters,
    model: &impl TextDecoder,
    prompt: &[u32],
    max_tokens: usize,
    sampling: Sampling,
    mut emit: impl FnMut(u32) -> Result<(), E>,
) -> Result<Timing, E> {
    let context = model.context();
    let mut tokens = prompt.to_vec();
    let random = RandomStream::new(sampling.seed, 0, 0);
    let mut logits = vec![0.0f32; model.vocab()];
    let mut timing = Timing { prompt_tokens: tokens.len().min(context), ..Timing::default() };
    let mut began = Instant::now();
    let mut cached = 0;
    for i in 0..max_tokens {
        let span = if cached == 0 || cached == context {
            let room = if cached == 0 { context } else { context.div_ceil(2) };
            let window = &tokens[tokens.len().saturating_sub(room)..];
            cached = window.len();
            model.read(b, p, window, 0)
        } else {
            cached += 1;
            model.read(b, p, &tokens[tokens.len() - 1..], cached - 1)
        };
        b.download(span, &mut logits);
        b.fault()?;
        if let Some(logit) = logits.iter().find(|logit| !logit.is_finite()) {
            let message = format!("the model gives {logit} where the logarithm of a probability should be");
            return Err(Error::failed(message, "its weights are damaged or diverged: use an earlier checkpoint of the run").into());
        }
        if i == 0 {
            timing.prompt = began.elapsed();
            began = Instant::now();
        }
        let token = draw(&logits, sampling, uniform(random.words(i as u32)[0]));
        tokens.push(token);
        emit(token)?;
        timing.decoded_tokens = i;
    }
    timing.decoding = began.elapsed();
    Ok(timing)
}
