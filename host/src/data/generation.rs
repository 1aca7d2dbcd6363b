//! Text from a model.

use primal_engine::backend::Backend;
use primal_engine::models::sample::{self, Sampling, Timing};
use primal_engine::models::text::TextDecoder;
use primal_engine::nn::Parameters;

use super::tokenizer::TextCodec;
use crate::Result;

/// Continues `prompt` by `max_tokens` tokens; `emit` gets each new piece of text.
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
    mut emit: impl FnMut(&str) -> Result<()>,
) -> Result<Timing> {
    let tokens = codec.prompt(if prompt.is_empty() { "\n" } else { prompt });
    let mut decoder = codec.stream_decoder();
    let timing = sample::generate(b, p, model, &tokens, max_tokens, sampling, |token| emit(&decoder.push(token)))?;
    emit(&decoder.finish())?;
    Ok(timing)
}
