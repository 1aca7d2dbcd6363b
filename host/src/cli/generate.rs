//! `primal-host generate`.

use std::io::{IsTerminal, stdout};
use std::marker::PhantomData;
use std::path::PathBuf;

use argh::FromArgs;

use super::device::{self, DeviceName, Work};
use super::eval::{Loaded, load_decoder, on_file};
use super::prompts;
use super::sampling::with_sampling;
use super::threads::in_pool;
use crate::data::{Drawn, generate, unread};
use crate::output::{print, print_json, warn, write_all};
use crate::{Error, Result, visible};
use primal_engine::backend::Device;
use primal_engine::files::{TensorFile, mapped};
use primal_engine::models::registry::OnText;
use primal_engine::models::sample::{Timing, log_probability};
use primal_engine::models::text::{TextDecoder, TextModel};

/// The text that is continued unless another is given.
const PROMPT: &str = "Once upon a time";

with_sampling! {
    /// continue a text
    #[derive(FromArgs)]
    #[argh(subcommand, name = "generate")]
    pub struct Generate {
        /// checkpoint file
        #[argh(option)]
        checkpoint: PathBuf,
        /// text to continue (default: Once upon a time)
        #[argh(option)]
        prompt: Option<String>,
        /// continue each prompt of a file of JSON lines with the key \"prompt\", such as documents to train on, and print for each what --json prints in a line
        #[argh(option)]
        prompts: Option<PathBuf>,
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
        if let (Some(_), Some(path)) = (&self.prompt, &self.prompts) {
            let found = format!("--prompts {} as well", path.display());
            return Err(Error::bad_input("--prompt", "one of --prompt and --prompts", found, "leave one of them out"));
        }
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
        if let Some(path) = &self.prompts {
            return prompts::read(path)?.iter().try_for_each(|prompt| self.write_object(&mut l, prompt));
        }
        let prompt = self.prompt.as_deref().unwrap_or(PROMPT);
        if self.json {
            return self.write_object(&mut l, prompt);
        }
        let codec = l.codec.clone();
        let on_terminal = stdout().is_terminal();
        let say = |piece: &str| write_all(if on_terminal { visible::text(piece) } else { piece.into() }.as_bytes());
        let timing = if self.logprobs {
            self.go(&mut l, prompt, |_, drawn| {
                let Some((token, logits)) = drawn else { return Ok(()) };
                print(format!("{:9.4}  {:?}", log_probability(logits, token), codec.decode(&[token])))
            })?
        } else {
            say(prompt)?;
            let timing = self.go(&mut l, prompt, |piece, _| say(piece))?;
            say("\n")?;
            timing
        };
        mapped::require_unchanged()?;
        report(&timing);
        Ok(())
    }

    /// Continues a prompt, from the beginning of a text on.
    fn go<M: TextModel, D: Device>(
        &self,
        l: &mut Loaded<M, M::Decoder, D>,
        prompt: &str,
        emit: impl FnMut(&str, Option<Drawn>) -> Result<()>,
    ) -> Result<Timing> {
        unread(l.codec.prompt(prompt).len(), l.model.context()).iter().for_each(|said| warn(format!("warning: {said}")));
        generate(&mut l.backend, &l.parameters, &l.model, &l.codec, prompt, self.max_tokens, self.sampling()?, emit)
    }

    /// Continues a prompt and prints what `--json` does.
    fn write_object<M: TextModel, D: Device>(&self, l: &mut Loaded<M, M::Decoder, D>, prompt: &str) -> Result<()> {
        let (codec, mut text, mut probabilities) = (l.codec.clone(), prompt.to_owned(), Vec::new());
        let timing = self.go(l, prompt, |piece, drawn| {
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
        print_json(&object)
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
