//! Text from a model, token by token.

use primal_device::philox::{Stream, uniform};

use crate::backend::Backend;
use crate::data::Tokenizer;
use crate::model::{Gpt, Parameters};

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
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    order.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
    if sampling.temperature <= 0.0 {
        return order[0];
    }
    let max = logits[order[0] as usize];
    let weights: Vec<f64> = order.iter().map(|&i| f64::from((logits[i as usize] - max) / sampling.temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut kept = 0.0;
    let count = weights.iter().position(|w| {
        kept += w;
        kept >= total * f64::from(sampling.top_p)
    });
    let count = count.map_or(order.len(), |c| c + 1);
    let mut left = f64::from(draw) * weights[..count].iter().sum::<f64>();
    for (index, weight) in order.iter().zip(&weights[..count]) {
        left -= weight;
        if left < 0.0 {
            return *index;
        }
    }
    order[count - 1]
}

/// Continues `prompt` by `max_tokens` tokens; `emit` gets each new piece of text. `model` is planned for one sequence of `context` tokens.
#[expect(clippy::too_many_arguments, reason = "a model, a text and how to draw")]
pub fn generate<B: Backend>(
    b: &mut B,
    p: &Parameters,
    model: &Gpt,
    tokenizer: Tokenizer,
    prompt: &str,
    max_tokens: usize,
    sampling: Sampling,
    mut emit: impl FnMut(&str),
) {
    let context = model.tokens();
    let mut tokens = tokenizer.encode(prompt);
    if tokens.is_empty() {
        tokens.push(u32::from(b'\n'));
    }
    let mut decoder = tokenizer.stream_decoder();
    let random = Stream::new(sampling.seed, 0, 0);
    let mut logits = vec![0.0f32; tokenizer.vocab_size()];
    let mut window = vec![0u32; context];
    for i in 0..max_tokens {
        let seen = &tokens[tokens.len().saturating_sub(context)..];
        window[..seen.len()].copy_from_slice(seen);
        b.upload(model.inputs, &window);
        let span = model.next_logits(b, p, seen.len() - 1);
        b.download(span, &mut logits);
        let token = draw(&logits, sampling, uniform(random.words(i as u32)[0]));
        tokens.push(token);
        emit(&decoder.push(token));
    }
    emit(&decoder.finish());
}
