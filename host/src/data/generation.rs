//! Text from a model.

use primal_engine::backend::Backend;
use primal_engine::models::sample::{self, Ends, Sampling, Timing};
use primal_engine::models::text::TextDecoder;
use primal_engine::nn::Parameters;

use super::tokenizer::TextCodec;
use crate::{Error, Result};

/// A token that was drawn, and the logits that it was drawn from.
pub type Drawn<'a> = (u32, &'a [f32]);

/// What to say of a prompt of more tokens than a model reads.
pub fn unread(prompt: usize, context: usize) -> Option<String> {
    let cut = prompt.checked_sub(context).filter(|&cut| cut > 0)?;
    Some(format!("the prompt has {prompt} tokens where {context} are read: the first {cut} of them after its beginning are not read"))
}

/// Continues `prompt` by `max_tokens` tokens, or until one that ends a text; `emit` gets each new piece of text and the token that completes it, and at the end what
/// no token completed.
///
/// # Errors
/// Errors of `emit`, which end it; a model that gives numbers that are not finite.
#[expect(clippy::too_many_arguments, reason = "a model, a text and how to draw")]
pub fn generate<B: Backend>(
    b: &mut B,
    p: &Parameters,
    model: &impl TextDecoder,
    codec: &TextCodec,
    prompt: &str,
    max_tokens: usize,
    sampling: Sampling,
    emit: impl FnMut(&str, Option<Drawn>) -> Result<()>,
) -> Result<Timing> {
    let tokens = codec.prompt(if prompt.is_empty() { "\n" } else { prompt });
    if tokens.is_empty() {
        return Err(Error::bad_input("--prompt", "a text of one token or more", format!("{prompt:?}, which has none"), "give other words"));
    }
    generate_after(b, p, model, codec, &tokens, max_tokens, sampling, emit)
}

/// As [`generate`], after these tokens, at least one.
///
/// # Errors
/// As [`generate`].
#[expect(clippy::too_many_arguments, reason = "a model, a text and how to draw")]
pub fn generate_after<B: Backend>(
    b: &mut B,
    p: &Parameters,
    model: &impl TextDecoder,
    codec: &TextCodec,
    tokens: &[u32],
    max_tokens: usize,
    sampling: Sampling,
    mut emit: impl FnMut(&str, Option<Drawn>) -> Result<()>,
) -> Result<Timing> {
    let mut decoder = codec.stream_decoder();
    let ends = Ends { max_tokens, stops: codec.stop_tokens() };
    let timing = sample::generate(b, p, model, tokens, ends, sampling, |token, logits| emit(&decoder.push(token), Some((token, logits))))?;
    emit(&decoder.finish(), None)?;
    Ok(timing)
}
