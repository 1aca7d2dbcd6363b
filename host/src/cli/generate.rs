//! `primal-host generate`.

use std::io::{IsTerminal, stdout};
use std::marker::PhantomData;
use std::path::PathBuf;

use argh::FromArgs;

use super::device::{self, DeviceName, Work};
use super::eval::{Loaded, load, on_file};
use super::threads::in_pool;
use crate::data::generate;
use crate::output::{print_json, warn, write_all};
use crate::{Error, Result, visible};
use primal_engine::backend::Device;
use primal_engine::config::TextTable;
use primal_engine::files::{TensorFile, mapped};
use primal_engine::memory::Act;
use primal_engine::models::registry::OnText;
use primal_engine::models::sample::{Sampling, Timing};
use primal_engine::models::text::{DecoderShape, TextDecoder, TextModel};

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
    /// tokens to write (default 300)
    #[argh(option, default = "300")]
    max_tokens: usize,
    /// temperature: 0 takes the likeliest token (default 0.7)
    #[argh(option, default = "0.7")]
    temperature: f32,
    /// probability of the tokens to draw from (default 0.9)
    #[argh(option, default = "0.9")]
    top_p: f32,
    /// seed (default 1)
    #[argh(option, default = "1")]
    seed: u64,
    /// device: cpu (default) or cuda
    #[argh(option, default = "DeviceName::default()")]
    device: DeviceName,
    /// threads (default: all cores)
    #[argh(option)]
    threads: Option<usize>,
    /// print one JSON object: text, tokens, seconds, tokens_per_second
    #[argh(switch)]
    json: bool,
}

impl Generate {
    /// Writes the text to stdout as it comes.
    ///
    /// # Errors
    /// A checkpoint that cannot be used; flags out of range.
    pub fn run(self) -> Result<()> {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(Error::bad_input("--temperature", "0 or more", self.temperature, "try 0.7"));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Error::bad_input("--top-p", "above 0, at most 1", self.top_p, "try 0.9"));
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
        let loaded = load::<M, _, D>(
            &*self.file,
            |layers, config, plan| {
                let shape = DecoderShape { context: config.context(), cache: Act::F32 };
                let decoder = M::plan_decoder(layers, shape, plan);
                let attention = decoder.attention();
                (decoder, attention)
            },
            M::Decoder::prepare,
        )?;
        self.flags.write(loaded)
    }
}

impl Generate {
    fn write<M: TextModel, D: Device>(&self, mut l: Loaded<M, M::Decoder, D>) -> Result<()> {
        let sampling = Sampling { temperature: self.temperature, top_p: self.top_p, seed: self.seed };
        let codec = l.codec.clone();
        let (tokens, context) = (codec.prompt(&self.prompt).len(), l.model.context());
        if tokens > context {
            let cut = tokens - context;
            warn(format!("warning: the prompt has {tokens} tokens and the model reads {context}: the first {cut} of them are not read"));
        }
        let mut go = |emit: &mut dyn FnMut(&str) -> Result<()>| {
            generate(&mut l.backend, &l.parameters, &l.model, &codec, &self.prompt, self.max_tokens, sampling, emit)
        };
        if self.json {
            let mut text = self.prompt.clone();
            let timing = go(&mut |piece| {
                text.push_str(piece);
                Ok(())
            })?;
            mapped::require_unchanged()?;
            let (tokens, seconds) = (timing.decoded_tokens, timing.decoding.as_secs_f64());
            return print_json(&serde_json::json!({
                "text": text, "prompt_tokens": timing.prompt_tokens, "prompt_seconds": timing.prompt.as_secs_f64(),
                "tokens": tokens, "seconds": seconds, "tokens_per_second": rate(tokens, seconds)
            }));
        }
        let on_terminal = stdout().is_terminal();
        let mut say = |piece: &str| write_all(if on_terminal { visible::text(piece) } else { piece.into() }.as_bytes());
        say(&self.prompt)?;
        let timing = go(&mut say)?;
        say("\n")?;
        mapped::require_unchanged()?;
        report(&timing);
        Ok(())
    }
}

fn rate(tokens: usize, seconds: f64) -> f64 {
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
