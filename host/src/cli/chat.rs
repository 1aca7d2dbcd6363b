//! `primal-host chat`.

use std::io::{BufRead, IsTerminal, Read, stdin, stdout};
use std::marker::PhantomData;
use std::path::PathBuf;

use argh::FromArgs;

use super::device::{self, DeviceName, Work};
use super::eval::{Loaded, load_decoder, on_file};
use super::generate::rate;
use super::sampling::with_sampling;
use super::threads::in_pool;
use crate::chat::{Answer, ChatTemplate, Conversation};
use crate::data::ModelFiles;
use crate::output::{print_json, warn, write_all};
use crate::{Error, Result, input, visible};
use primal_engine::backend::Device;
use primal_engine::files::{TensorFile, mapped};
use primal_engine::interrupt;
use primal_engine::models::registry::OnText;
use primal_engine::models::text::{TextDecoder, TextModel};

const HELP: &str = "/reset forgets what was said, /exit ends, /help shows this; Ctrl-C stops an answer";

with_sampling! {
    /// talk with an imported model, by its own template. A line is a question; /reset forgets what was said, /exit ends
    #[derive(FromArgs)]
    #[argh(subcommand, name = "chat")]
    pub struct Chat {
        /// file of an imported model
        #[argh(option)]
        checkpoint: PathBuf,
        /// what the model is told before the conversation
        #[argh(option)]
        system: Option<String>,
        /// one question, instead of lines from standard input
        #[argh(option)]
        prompt: Option<String>,
        /// tokens of the conversation, at most (default: the model's context, at most 4096)
        #[argh(option)]
        context: Option<usize>,
        /// tokens of an answer, at most (default: as many as the context has)
        #[argh(option)]
        max_tokens: Option<usize>,
        /// device: cpu (default) or cuda
        #[argh(option, default = "DeviceName::default()")]
        device: DeviceName,
        /// threads (default: all cores)
        #[argh(option)]
        threads: Option<usize>,
        /// print a JSON object for each answer: text, stop ("token", "length" or "interrupted"), prompt_tokens, tokens, seconds, tokens_per_second
        #[argh(switch)]
        json: bool,
    }
}

impl Chat {
    /// Answers until there is no more question.
    ///
    /// # Errors
    /// A model that cannot be used, or has no template; flags out of range.
    pub fn run(self) -> Result<()> {
        self.sampling()?;
        if self.max_tokens == Some(0) {
            return Err(Error::bad_input("--max-tokens", "1 or more", 0, "leave it out, or raise it"));
        }
        in_pool(self.threads, || device::run(self.device, &self))
    }
}

impl Work for Chat {
    fn run_on<D: Device>(&self) -> Result<()> {
        on_file(&self.checkpoint, |file| Talk::<D> { flags: self, file, device: PhantomData })
    }
}

/// Talks with the model of a file on a device.
struct Talk<'a, D> {
    flags: &'a Chat,
    file: Box<dyn TensorFile>,
    device: PhantomData<D>,
}

impl<D: Device> OnText for Talk<'_, D> {
    type Output = Result<()>;

    fn on<M: TextModel>(self) -> Result<()> {
        let Self { flags, file, .. } = self;
        let path = flags.checkpoint.display().to_string();
        let template = ModelFiles::attached_to(&*file)?.chat_template()?.ok_or_else(|| {
            let hint = "`generate` continues a text with any model; those that answer are called chat or instruct";
            Error::bad_input(&path, "a model with a template for conversations", "one without", hint)
        })?;
        let mut loaded = load_decoder::<M, D>(&*file, flags.context)?;
        let tokenizer = loaded.codec.stored().ok_or_else(|| {
            let hint = "`generate` continues a text with any model";
            Error::bad_input(&path, "a tokenizer that came with the model", loaded.codec.name(), hint)
        })?;
        let template = ChatTemplate::of(&template, tokenizer, &path)?;
        flags.talk(&mut loaded, &template)
    }
}

impl Chat {
    fn talk<M: TextModel, D: Device>(&self, l: &mut Loaded<M, M::Decoder, D>, template: &ChatTemplate) -> Result<()> {
        let Loaded { codec, model, parameters, backend, .. } = l;
        let max_tokens = self.max_tokens.unwrap_or(model.context());
        let mut conversation = Conversation::new(&*model, &*parameters, &*codec, template, self.system.as_deref(), self.sampling()?);
        if let Some(prompt) = &self.prompt {
            return self.answer(&mut conversation, backend, prompt, max_tokens);
        }
        let is_terminal = stdin().is_terminal();
        if is_terminal {
            warn(HELP);
        }
        let mut lines = stdin().lock();
        loop {
            if is_terminal {
                write_all("> ")?;
            }
            let Some(line) = line(&mut lines)? else { break };
            match line.trim() {
                "" => {}
                "/exit" => break,
                "/help" => warn(HELP),
                "/reset" => conversation.reset(),
                // Nothing was said then: the user can say something else.
                _ => match self.answer(&mut conversation, backend, &line, max_tokens) {
                    Err(error @ Error::BadInput { .. }) if is_terminal => warn(error),
                    answered => answered?,
                },
            }
        }
        if is_terminal { write_all("\n") } else { Ok(()) }
    }

    fn answer<D: Device>(&self, conversation: &mut Conversation<impl TextDecoder>, b: &mut D, text: &str, max_tokens: usize) -> Result<()> {
        let on_terminal = stdout().is_terminal();
        let say = |piece: &str| write_all(if on_terminal { visible::text(piece) } else { piece.into() }.as_bytes());
        let mut emit = |piece: &str| if self.json { Ok(()) } else { say(piece) };
        let ask = || conversation.ask(b, text, max_tokens, &interrupt::is_answer_stopped, &mut emit);
        let answer = interrupt::answering(ask)?;
        mapped::require_unchanged()?;
        if self.json {
            return print_json(&object(&answer));
        }
        say("\n")
    }
}

/// The next line, without its end; none after the last.
fn line(lines: &mut impl BufRead) -> Result<Option<String>> {
    let name = "standard input";
    let mut bytes = Vec::new();
    let hint = "write one question a line";
    let read = lines.take(input::TEXT.most).read_until(b'\n', &mut bytes);
    read.map_err(|error| Error::io("reading", name.as_ref(), error, hint))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8(line.to_vec()).map(Some).map_err(|error| input::not_utf8(name, error.as_bytes()))
}

fn object(answer: &Answer) -> serde_json::Value {
    let seconds = answer.writing.as_secs_f64();
    serde_json::json!({
        "text": answer.text, "stop": answer.end.name(), "prompt_tokens": answer.read, "prompt_seconds": answer.reading.as_secs_f64(),
        "tokens": answer.written, "seconds": seconds, "tokens_per_second": rate(answer.written.saturating_sub(1), seconds),
    })
}
