//! Turns of a conversation. The keys and values of what was said stay in the model's cache, and only what is new is read.

use std::time::{Duration, Instant};

use primal_engine::backend::Backend;
use primal_engine::models::sample::{Sampler, Sampling};
use primal_engine::models::text::TextDecoder;
use primal_engine::nn::Parameters;

use super::template::{ChatTemplate, Message, Role};
use crate::data::TextCodec;
use crate::{Error, Result};

/// A conversation with a model.
pub struct Conversation<'a, M> {
    model: &'a M,
    parameters: &'a Parameters,
    codec: &'a TextCodec,
    template: &'a ChatTemplate,
    /// What the system says, shielded.
    system: Option<String>,
    /// What was said, shielded.
    messages: Vec<Message>,
    /// What the cache has.
    tokens: Vec<u32>,
    /// How the template writes what was said, up to the end of the last answer. It may say it in another way when the conversation goes on.
    written: String,
    /// Tokens at the end of `written` that the model has not read.
    unread: Vec<u32>,
    sampler: Sampler,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The model ended it.
    Token,
    /// It has as many tokens as it may have.
    Length,
    /// The context is full.
    Full,
    /// The user had enough.
    Interrupted,
}

impl End {
    /// For programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Length => "length",
            Self::Full => "full",
            Self::Interrupted => "interrupted",
        }
    }
}

/// An answer, and how long it took.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The whole of it.
    pub text: String,
    /// Tokens that were read before it, those in the cache apart.
    pub read: usize,
    /// Time to read them, to the first token.
    pub reading: Duration,
    /// Tokens that were written.
    pub written: usize,
    /// Time to write those after the first.
    pub writing: Duration,
    /// Why it ended.
    pub end: End,
}

impl<'a, M: TextDecoder> Conversation<'a, M> {
    /// One of which nothing was said but by the system.
    pub fn new(
        model: &'a M,
        parameters: &'a Parameters,
        codec: &'a TextCodec,
        template: &'a ChatTemplate,
        system: Option<&str>,
        sampling: Sampling,
    ) -> Self {
        let system = system.map(|text| codec.shielded(text).into_owned());
        let sampler = Sampler::new(sampling, model.vocab());
        let (messages, tokens, written, unread) = Default::default();
        let mut new = Self { model, parameters, codec, template, system, messages, tokens, written, unread, sampler };
        new.reset();
        new
    }

    /// Forgets what was said, but by the system.
    pub fn reset(&mut self) {
        self.messages.clear();
        self.messages.extend(self.system.clone().map(|content| Message { role: Role::System, content }));
        self.tokens.clear();
        self.written.clear();
        self.unread.clear();
    }

    /// Tokens that the cache has.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Answers `text` with at most `max_tokens` tokens; `emit` gets them as they come, and `is_interrupted` is asked after each whether to go on. Nothing was
    /// said where it fails.
    ///
    /// # Errors
    /// A conversation that does not fit into the context; those of the template and of `emit`; a model that gives numbers that are not finite.
    pub fn ask<B: Backend>(
        &mut self,
        b: &mut B,
        text: &str,
        max_tokens: usize,
        is_interrupted: &dyn Fn() -> bool,
        emit: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<Answer> {
        self.messages.push(Message { role: Role::User, content: self.codec.shielded(text).into_owned() });
        let answered =
            self.template.render(&self.messages, true).and_then(|prompt| self.answer(b, prompt, max_tokens, is_interrupted, emit));
        if answered.is_err() {
            self.messages.pop();
        }
        answered
    }

    /// What the model has to read of `prompt`; the cache keeps no more than what it has in common with it.
    fn unread_of(&mut self, prompt: &str) -> Result<Vec<u32>> {
        let mut unread = match prompt.strip_prefix(&self.written) {
            Some(more) if !self.written.is_empty() => {
                let mut unread = self.unread.clone();
                unread.extend(self.codec.encode_controls(more, false));
                unread
            }
            _ => {
                let all = self.codec.encode_controls(prompt, true);
                let common = all.iter().zip(&self.tokens).take_while(|(new, old)| new == old).count();
                self.tokens.truncate(common);
                self.written.clear();
                self.unread.clear();
                all[common..].to_vec()
            }
        };
        // The logits of the last token are wanted, though the cache may have it.
        if unread.is_empty() {
            unread.extend(self.tokens.pop());
        }
        if unread.is_empty() {
            let found = "a template that writes nothing";
            return Err(Error::bad_input("the chat template", "one that writes the conversation", found, "`generate` needs none"));
        }
        let (all, context) = (self.tokens.len() + unread.len(), self.model.context());
        if all >= context {
            return Err(Error::bad_input(
                "the conversation",
                format!("fewer than {context} tokens, the model's context"),
                all,
                "/reset begins anew; a shorter question may fit, or a larger --context",
            ));
        }
        Ok(unread)
    }

    fn answer<B: Backend>(
        &mut self,
        b: &mut B,
        prompt: String,
        max_tokens: usize,
        is_interrupted: &dyn Fn() -> bool,
        emit: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<Answer> {
        let mut unread = self.unread_of(&prompt)?;
        let (read, mut began) = (unread.len(), Instant::now());
        let (mut decoder, mut text) = (self.codec.stream_decoder(), String::new());
        let (mut reading, mut written) = (Duration::ZERO, 0);
        let end = loop {
            if is_interrupted() && written > 0 {
                break End::Interrupted;
            }
            let span = self.model.read(b, self.parameters, &unread, self.tokens.len());
            self.tokens.append(&mut unread);
            let token = self.sampler.draw(b, span, &self.tokens)?;
            if written == 0 {
                reading = began.elapsed();
                began = Instant::now();
            }
            if self.codec.stop_tokens().contains(&token) {
                break End::Token;
            }
            let piece = decoder.push(token);
            text.push_str(&piece);
            emit(&piece)?;
            unread.push(token);
            written += 1;
            if written >= max_tokens {
                break End::Length;
            }
            if self.tokens.len() + 1 >= self.model.context() {
                break End::Full;
            }
        };
        let writing = began.elapsed();
        let rest = decoder.finish();
        text.push_str(&rest);
        emit(&rest)?;
        let shielded = self.codec.shielded(&text).into_owned();
        self.written = prompt + &shielded;
        self.unread = unread;
        self.messages.push(Message { role: Role::Assistant, content: shielded });
        Ok(Answer { text, read, reading, written, writing, end })
    }
}
