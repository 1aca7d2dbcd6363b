//! Tokens from a model, one by one.

use std::time::{Duration, Instant};

use multiversion::multiversion;
use primal_device::philox::{RandomStream, uniform};

use super::sequence::Sequence;
use super::text::TextDecoder;
use crate::backend::Backend;
use crate::backend::cpu::exp::exp;
use crate::memory::Span;
use crate::nn::Parameters;
use crate::{Error, Result};

/// How many of the last tokens [`Sampling::repetition_penalty`] counts, those of the prompt included.
pub const REPETITION_WINDOW: usize = 64;

/// How the next token is drawn: the fields that change probabilities in the order in which they do.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Divides the logits above 0 of the tokens in the last [`REPETITION_WINDOW`], and multiplies those below (Keskar et al. 2019); 1 changes nothing.
    pub repetition_penalty: f32,
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f32,
    /// Draws from so many tokens, the likeliest ones (Fan et al. 2018); 0 from all.
    pub top_k: usize,
    /// Draws from the likeliest of those that together have this probability (Holtzman et al. 2020).
    pub top_p: f32,
    /// Draws from those of them that have at least this share of the likeliest one's probability (Nguyen et al. 2024); 0 changes nothing.
    pub min_p: f32,
    /// Seed.
    pub seed: u64,
}

impl Sampling {
    /// The likeliest token each time.
    pub const GREEDY: Self = Self { repetition_penalty: 1.0, temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 1 };
}

/// Makes the tokens in the last [`REPETITION_WINDOW`] of `tokens` less likely; a token that is there more than once, no less than others.
pub fn penalize(logits: &mut [f32], penalty: f32, tokens: &[u32]) {
    let window = &tokens[tokens.len().saturating_sub(REPETITION_WINDOW)..];
    for (i, &token) in window.iter().enumerate() {
        if let Some(logit) = logits.get_mut(token as usize).filter(|_| !window[..i].contains(&token)) {
            *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
        }
    }
}

/// The logarithm of the probability that the model gives `token`, before anything is made of it for a draw.
pub fn log_probability(logits: &[f32], token: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    f64::from(logits[token as usize] - largest) - total.ln()
}

/// The largest of them.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn largest(logits: &[f32]) -> f32 {
    let (vectors, rest) = logits.as_chunks::<32>();
    let mut largest = [f32::NEG_INFINITY; 32];
    for vector in vectors {
        largest.iter_mut().zip(vector).for_each(|(m, &x)| *m = if x > *m { x } else { *m });
    }
    largest.iter().chain(rest).fold(f32::NEG_INFINITY, |m, &x| if x > m { x } else { m })
}

/// Writes `exp((logit − largest) / temperature)`; returns the sum.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn weigh(weights: &mut [f32], logits: &[f32], largest: f32, temperature: f32) -> f64 {
    const LANES: usize = 32;
    let mut sums = [0.0f64; LANES];
    for (weights, logits) in weights.chunks_mut(LANES).zip(logits.chunks(LANES)) {
        weights.iter_mut().zip(logits).for_each(|(weight, logit)| *weight = exp((logit - largest) / temperature));
        sums.iter_mut().zip(&*weights).for_each(|(sum, &weight)| *sum += f64::from(weight));
    }
    sums.iter().sum()
}

/// The index drawn from logits, without the penalty for repetition ([`penalize`]); `draw` in [0, 1).
pub fn draw(logits: &[f32], sampling: Sampling, draw: f32) -> u32 {
    let largest = largest(logits);
    let likeliest = logits.iter().position(|&logit| logit == largest).expect("a vocabulary of numbers");
    if sampling.temperature <= 0.0 {
        return likeliest as u32;
    }
    let mut weights = vec![0.0; logits.len()];
    let all = weigh(&mut weights, logits, largest, sampling.temperature);
    let weight = |i: usize| f64::from(weights[i]);
    let likelier = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
    let (mut order, total): (Vec<usize>, f64);
    if (1..weights.len()).contains(&sampling.top_k) {
        order = (0..weights.len()).collect();
        order.select_nth_unstable_by(sampling.top_k - 1, likelier);
        order.truncate(sampling.top_k);
        order.sort_by(likelier);
        total = order.iter().map(|&i| weight(i)).sum();
    } else {
        total = all;
        // Those below it have less than 1 − top_p together, so none of them is drawn, and they need not be sorted.
        let least = (total * (1.0 - f64::from(sampling.top_p)) / weights.len() as f64) as f32;
        order = (0..weights.len()).filter(|&i| weights[i] >= least).collect();
        order.sort_by(likelier);
    }
    let mut kept = 0.0;
    let count = order.iter().position(|&i| {
        kept += weight(i);
        kept >= total * f64::from(sampling.top_p)
    });
    order.truncate(count.map_or(order.len(), |c| c + 1));
    // The likeliest one's weight is 1.
    let unlikely = order.iter().position(|&i| weights[i] < sampling.min_p);
    if let Some(count) = unlikely {
        order.truncate(count.max(1));
        kept = order.iter().map(|&i| weight(i)).sum();
    }
    let mut left = f64::from(draw) * kept;
    let drawn = order.iter().find(|&&i| {
        left -= weight(i);
        left < 0.0
    });
    *drawn.or(order.last()).unwrap_or(&likeliest) as u32
}

/// Draws one token after another.
pub struct Sampler {
    sampling: Sampling,
    random: RandomStream,
    drawn: u32,
    /// Of the next token, as the model gave them.
    logits: Vec<f32>,
    penalized: Vec<f32>,
}

impl Sampler {
    /// For a model of `vocab` tokens.
    pub fn new(sampling: Sampling, vocab: usize) -> Self {
        let penalized = if sampling.repetition_penalty == 1.0 { 0 } else { vocab };
        let random = RandomStream::new(sampling.seed, 0, 0);
        Self { sampling, random, drawn: 0, logits: vec![0.0; vocab], penalized: vec![0.0; penalized] }
    }

    /// The logits of the last draw, as the model gave them.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// A token from the logits at `span`, which follows `tokens`.
    ///
    /// # Errors
    /// A device that failed; logits that are not finite.
    pub fn draw<B: Backend>(&mut self, b: &mut B, span: Span<f32>, tokens: &[u32]) -> Result<u32> {
        b.download(span, &mut self.logits);
        b.fault()?;
        // All of them, which is quicker than to look for one.
        let finite = self.logits.iter().fold(true, |finite, logit| finite & logit.is_finite());
        if let Some(logit) = self.logits.iter().find(|logit| !finite && !logit.is_finite()) {
            let message = format!("the model gives {logit} where the logarithm of a probability should be");
            return Err(Error::failed(message, "its weights are damaged or diverged: use an earlier checkpoint of the run"));
        }
        let at = uniform(self.random.words(self.drawn)[0]);
        self.drawn = self.drawn.wrapping_add(1);
        if self.penalized.is_empty() {
            return Ok(draw(&self.logits, self.sampling, at));
        }
        self.penalized.copy_from_slice(&self.logits);
        penalize(&mut self.penalized, self.sampling.repetition_penalty, tokens);
        Ok(draw(&self.penalized, self.sampling, at))
    }
}

/// Where a text ends.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// After so many tokens at the latest.
    pub max_tokens: usize,
    /// Before one of these.
    pub stops: &'a [u32],
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
    /// The token that ended the text, if one did.
    pub stop: Option<u32>,
}

/// Tokens at the beginning of a text that a model goes on seeing, however long the text gets: attention that has nowhere to go rests on them, and without them
/// models that learnt whole texts write nonsense ("attention sinks", Xiao et al. 2024, <https://arxiv.org/abs/2309.17453>).
const SINKS: usize = 4;

/// Continues `prompt`, of at least one token, and `emit` gets each token, and the logits it was drawn from. When the context is full, the older half of it is
/// forgotten, but for the first tokens; of a prompt that it has no room for, the first and the last ones are read.
///
/// # Errors
/// Those of `emit`, which end it; a model that gives numbers that are not finite; a device that failed.
pub fn generate<B: Backend, E: From<Error>>(
    b: &mut B,
    p: &Parameters,
    model: &impl TextDecoder,
    prompt: &[u32],
    ends: Ends,
    sampling: Sampling,
    mut emit: impl FnMut(u32, &[f32]) -> Result<(), E>,
) -> Result<Timing, E> {
    let (mut sequence, mut sampler) = (Sequence::new(), Sampler::new(sampling, model.vocab()));
    let (first, rest) = prompt.split_at(SINKS.min(model.context() / 2).min(prompt.len()));
    sequence.extend(first);
    sequence.keep_all_so_far();
    sequence.extend(&rest[rest.len().saturating_sub(model.context() - first.len())..]);
    let mut timing = Timing { prompt_tokens: sequence.tokens().len(), ..Timing::default() };
    let mut began = Instant::now();
    for i in 0..ends.max_tokens {
        let span = sequence.logits(b, p, model);
        let token = sampler.draw(b, span, sequence.tokens())?;
        if i == 0 {
            timing.prompt = began.elapsed();
            began = Instant::now();
        }
        if ends.stops.contains(&token) {
            timing.stop = Some(token);
            break;
        }
        sequence.extend(&[token]);
        emit(token, sampler.logits())?;
        timing.decoded_tokens = i;
    }
    timing.decoding = began.elapsed();
    Ok(timing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 6] = [1.0, 3.0, 2.0, 3.0, -1.0, 0.0];

    /// What can be drawn.
    fn drawn(sampling: Sampling) -> Vec<u32> {
        let mut drawn: Vec<u32> = (0..1000).map(|i| draw(&LOGITS, sampling, i as f32 / 1000.0)).collect();
        drawn.sort_unstable();
        drawn.dedup();
        drawn
    }

    #[test]
    fn each_limit_keeps_the_likeliest() {
        let all = Sampling { temperature: 1.0, ..Sampling::GREEDY };
        assert_eq!(drawn(all), [0, 1, 2, 3, 4, 5]);
        assert_eq!(drawn(Sampling { top_k: 3, ..all }), [1, 2, 3]);
        // Of equal ones the first.
        assert_eq!(drawn(Sampling { top_k: 1, ..all }), [1]);
        assert_eq!(drawn(Sampling { top_k: 600, ..all }), drawn(all));
        // e⁻¹ of the likeliest is 0.37, e⁻² is 0.14.
        assert_eq!(drawn(Sampling { min_p: 0.36, ..all }), [1, 2, 3]);
        assert_eq!(drawn(Sampling { min_p: 1.0, ..all }), [1, 3]);
        assert_eq!(drawn(Sampling { min_p: 0.36, temperature: 2.0, ..all }), [0, 1, 2, 3]);
        // Of the three, the first two have 0.84 of the probability; of all six, 0.78.
        assert_eq!(drawn(Sampling { top_p: 0.8, ..all }), [1, 2, 3]);
        assert_eq!(drawn(Sampling { top_p: 0.8, top_k: 3, ..all }), [1, 3]);
    }

    #[test]
    fn frequencies_are_probabilities_of_what_is_left() {
        let sampling = Sampling { temperature: 1.0, top_k: 4, min_p: 0.2, ..Sampling::GREEDY };
        let count = (0..10_000).filter(|&i| draw(&LOGITS, sampling, i as f32 / 10_000.0) == 2).count() as f64 / 10_000.0;
        let expected = (-1.0f64).exp() / (2.0 + (-1.0f64).exp());
        assert!((count - expected).abs() < 1e-3, "{count}, expected {expected}");
    }

    #[test]
    fn the_last_tokens_are_less_likely_once() {
        let mut logits = LOGITS;
        let mut tokens = vec![4; REPETITION_WINDOW - 2];
        tokens.extend([1, 1]);
        tokens.insert(0, 3);
        penalize(&mut logits, 2.0, &tokens);
        assert_eq!(logits, [1.0, 1.5, 2.0, 3.0, -2.0, 0.0]);
        penalize(&mut logits, 2.0, &[9]);
    }

    #[test]
    fn log_probabilities_sum_to_one() {
        let sum: f64 = (0..6).map(|token| log_probability(&LOGITS, token).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        assert!((log_probability(&LOGITS, 1) - log_probability(&LOGITS, 2) - 1.0).abs() < 1e-9);
    }
}
