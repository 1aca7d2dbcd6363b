//! `primal-host generate`.

use std::io::{IsTerminal, stdout};
use std::marker::PhantomData;
use std::path::PathBuf;

use argh::FromArgs;

use super::device::{self, DeviceName, Work};
use super::eval::{Loaded, load_decoder, on_file};
use super::sampling::with_sampling;
use super::threads::in_pool;
use crate::data::{Drawn, generate};
use crate::output::{print, print_json, warn, write_all};
use crate::{Result, visible};
use primal_engine::backend::Device;
use primal_engine::files::{TensorFile, mapped};
use primal_engine::models::registry::OnText;
use primal_engine::models::sample::{Timing, log_probability};
use primal_engine::models::text::{TextDecoder, TextModel};

with_sampling! {
    /// continue a text
    #[derive(FromArgs)]
    #[argh(subcommand, name = "generate")]
    pub struct Generate {
        /// checkpoint file
        #[argh(option)]
        checkpoint: PathBuf,
        /// text to continue
        #[argh(option, default = "String::from(\"Once upon a time\")")]
        prompt: String,
        /// tokens to write, unless the model ends the text before (default 300)
        #[argh(option, default = "300")]
        max_tokens: usize,
        /// tokens that are remembered (default: the model's context, at most 4096)
        #[argh(option)]
        context: Option<usize>,
        /// device: cpu (default) or cuda
        #[argh(option, default = "DeviceName::default()")]
        device: DeviceName,
        /// threads (default: all cores)
        #[argh(option)]
        threads: Option<usize>,
        /// print each token in a line, after the logarithm of the probability that the model gives it
        #[argh(switch)]
        logprobs: bool,
        /// print one JSON object: text, tokens, seconds, tokens_per_second, stop (\"token\" or \"length\"), with --logprobs those as well
        #[argh(switch)]
        json: bool,
    }
}

impl Generate {
    /// Writes the text to stdout as it comes.
    ///
    /// # Errors
    /// A checkpoint that cannot be used; flags out of range.
    pub fn run(self) -> Result<()> {
        self.sampling()?;
        in_pool(self.threads, || device::run(self.device, &self))
    }
}

impl Work for Generate {
    fn run_on<D: Device>(&self) -> Result<()> {
        on_file(&self.checkpoint, |file| Write::<D> { flags: self, file, device: PhantomData })
    }
}

/// Writes with the model of a file on a device.
struct Write<'a, D> {
    flags: &'a Generate,
    file: Box<dyn TensorFile>,
    device: PhantomData<D>,
}

impl<D: Device> OnText for Write<'_, D> {
    type Output = Result<()>;

    fn on<M: TextModel>(self) -> Result<()> {
        self.flags.write(load_decoder::<M, D>(&*self.file, self.flags.context)?)
    }
}

impl Generate {
    fn write<M: TextModel, D: Device>(&self, mut l: Loaded<M, M::Decoder, D>) -> Result<()> {
        let sampling = self.sampling()?;
        let codec = l.codec.clone();
        let (tokens, context) = (codec.prompt(&self.prompt).len(), l.model.context());
        if tokens > context {
            let cut = tokens - context;
            warn(format!("warning: the prompt has {tokens} tokens and the model reads {context}: the first {cut} of them are not read"));
        }
        let mut go = |emit: &mut dyn FnMut(&str, Option<Drawn>) -> Result<()>| {
            generate(&mut l.backend, &l.parameters, &l.model, &codec, &self.prompt, self.max_tokens, sampling, emit)
        };
        if self.json {
            let (mut text, mut probabilities) = (self.prompt.clone(), Vec::new());
            let timing = go(&mut |piece, drawn| {
                text.push_str(piece);
                if let (Some((token, logits)), true) = (drawn, self.logprobs) {
                    let (logprob, text) = (log_probability(logits, token), codec.decode(&[token]));
                    probabilities.push(serde_json::json!({ "token": token, "text": text, "logprob": logprob }));
                }
                Ok(())
            })?;
            mapped::require_unchanged()?;
            let (tokens, seconds) = (timing.decoded_tokens, timing.decoding.as_secs_f64());
            let mut object = serde_json::json!({
                "text": text, "prompt_tokens": timing.prompt_tokens, "prompt_seconds": timing.prompt.as_secs_f64(),
                "tokens": tokens, "seconds": seconds, "tokens_per_second": rate(tokens, seconds),
                "stop": if timing.stop.is_some() { "token" } else { "length" },
            });
            if self.logprobs {
                object["logprobs"] = probabilities.into();
            }
            return print_json(&object);
        }
        let on_terminal = stdout().is_terminal();
        let say = |piece: &str| write_all(if on_terminal { visible::text(piece) } else { piece.into() }.as_bytes());
        let timing = if self.logprobs {
            go(&mut |_, drawn| {
                let Some((token, logits)) = drawn else { return Ok(()) };
                print(format!("{:9.4}  {:?}", log_probability(logits, token), codec.decode(&[token])))
            })?
        } else {
            say(&self.prompt)?;
            let timing = go(&mut |piece, _| say(piece))?;
            say("\n")?;
            timing
        };
        mapped::require_unchanged()?;
        report(&timing);
        Ok(())
    }
}

pub(super) fn rate(tokens: usize, seconds: f64) -> f64 {
    if tokens == 0 { 0.0 } else { tokens as f64 / seconds }
}

/// Says on stderr how fast it was.
fn report(timing: &Timing) {
    let (prompt, decoding) = (timing.prompt.as_secs_f64(), timing.decoding.as_secs_f64());
    warn(format!(
        "prompt: {} tokens in {prompt:.3} s; then {} tokens in {decoding:.3} s, {:.1} tokens/s",
        timing.prompt_tokens,
        timing.decoded_tokens,
        rate(timing.decoded_tokens, decoding)
    ));
}
