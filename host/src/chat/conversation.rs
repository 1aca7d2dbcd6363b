//! Turns of a conversation. The keys and values of what was said stay in the model's cache, and only what is new is read.

use std::time::{Duration, Instant};

use primal_engine::backend::Backend;
use primal_engine::models::sample::{Sampler, Sampling};
use primal_engine::models::sequence::Sequence;
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
    /// What was said, shielded; first by the system.
    messages: Vec<Message>,
    /// How many of them the system said.
    from_system: usize,
    /// What the model reads, of which the oldest may be forgotten.
    sequence: Sequence,
    /// Tokens at its beginning that are not forgotten.
    kept: usize,
    /// How the template writes all that was said, up to the end of the last answer; it may say it in another way when the conversation goes on.
    written: String,
    sampler: Sampler,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The model ended it.
    Token,
    /// It has as many tokens as it may have.
    Length,
    /// The user had enough.
    Interrupted,
}

impl End {
    /// For programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Length => "length",
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
        let system = system.map(|text| Message::new(Role::System, codec.shielded(text)));
        let messages: Vec<Message> = system.into_iter().collect();
        let (from_system, sampler) = (messages.len(), Sampler::new(sampling, model.vocab()));
        Self {
            model,
            parameters,
            codec,
            template,
            messages,
            from_system,
            sequence: Sequence::new(),
            kept: 0,
            written: String::new(),
            sampler,
        }
    }

    /// Forgets what was said, but by the system.
    pub fn reset(&mut self) {
        self.messages.truncate(self.from_system);
        self.sequence = Sequence::new();
        self.written.clear();
    }

    /// What the model goes on from: all that was said, unless some was forgotten.
    pub fn tokens(&self) -> &[u32] {
        self.sequence.tokens()
    }

    /// Answers `text` with at most `max_tokens` tokens; `emit` gets them as they come, and `is_interrupted` is asked before each but the first whether there were enough. When the
    /// context is full, what came first is forgotten, but for what the template writes before the first question. Where it fails, nothing was said.
    ///
    /// # Errors
    /// A question that the context has no room for; those of the template and of `emit`; a model that gives numbers that are not finite.
    pub fn ask<B: Backend>(
        &mut self,
        b: &mut B,
        text: &str,
        max_tokens: usize,
        is_interrupted: &dyn Fn() -> bool,
        emit: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<Answer> {
        self.messages.push(Message::new(Role::User, self.codec.shielded(text)));
        let answered = self.take_in().and_then(|prompt| self.answer(b, prompt, max_tokens, is_interrupted, emit));
        if answered.is_err() {
            self.messages.pop();
        }
        answered
    }

    /// Adds what was said to the sequence, as the template writes it; what that is.
    fn take_in(&mut self) -> Result<String> {
        let prompt = self.template.render(&self.messages, true)?;
        if let Some(more) = prompt.strip_prefix(&self.written).filter(|_| !self.written.is_empty()) {
            let more = self.codec.encode_controls(more, false);
            if self.sequence.tokens().len() + more.len() > self.model.context() {
                self.require_room(more.len(), (self.model.context() - self.kept) / 2)?;
            }
            self.require_tokens(more.len())?;
            self.sequence.extend(&more);
            return Ok(prompt);
        }
        let all = self.codec.encode_controls(&prompt, true);
        self.require_tokens(all.len())?;
        let keep = common(&all, &self.before_questions()?);
        if self.messages.len() == self.from_system + 1 {
            self.require_room(all.len(), self.model.context() - 1)?;
            self.kept = keep.min(self.model.context() / 2);
        }
        // The logits of the last token are wanted, though the cache may have it.
        self.sequence.truncate(common(&all, self.sequence.tokens()).min(all.len().saturating_sub(1)));
        self.written.clear();
        let start = self.sequence.tokens().len();
        self.sequence.extend(&all[start..keep.max(start)]);
        if start <= keep {
            self.sequence.keep_all_so_far();
        }
        self.sequence.extend(&all[keep.max(start)..]);
        Ok(prompt)
    }

    /// The tokens that every conversation with this system begins with, and some that follow in one.
    fn before_questions(&self) -> Result<Vec<u32>> {
        let mut messages = self.messages[..=self.from_system].to_vec();
        let question = &mut messages[self.from_system].content;
        // Another one than was asked, from its first letter on.
        *question = if question.trim_start().starts_with('a') { "b" } else { "a" }.into();
        Ok(self.codec.encode_controls(&self.template.render(&messages, true)?, true))
    }

    /// Requires that the template wrote something.
    fn require_tokens(&self, tokens: usize) -> Result<()> {
        if tokens > 0 {
            return Ok(());
        }
        let found = "a template that writes nothing";
        Err(Error::bad_input("the chat template", "one that writes the conversation", found, "`generate` needs none"))
    }

    /// Requires that there is room for as many tokens of a question.
    fn require_room(&self, tokens: usize, room: usize) -> Result<()> {
        if tokens > room {
            let expected = format!("at most {room} tokens in a context of {}", self.model.context());
            return Err(Error::bad_input("the question", expected, tokens, "ask in fewer words, or with a larger --context"));
        }
        Ok(())
    }

    fn answer<B: Backend>(
        &mut self,
        b: &mut B,
        prompt: String,
        max_tokens: usize,
        is_interrupted: &dyn Fn() -> bool,
        emit: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<Answer> {
        let (read, mut began) = (self.sequence.unread(), Instant::now());
        let (mut decoder, mut text) = (self.codec.stream_decoder(), String::new());
        let (mut reading, mut written) = (Duration::ZERO, 0);
        let end = loop {
            let span = self.sequence.logits(b, self.parameters, self.model);
            let token = self.sampler.draw(b, span, self.sequence.tokens())?;
            if written == 0 {
                reading = began.elapsed();
                began = Instant::now();
            }
            if self.codec.stop_tokens().contains(&token) {
                break End::Token;
            }
            if written > 0 && is_interrupted() {
                break End::Interrupted;
            }
            self.sequence.extend(&[token]);
            written += 1;
            let piece = decoder.push(token);
            text.push_str(&piece);
            emit(&piece)?;
            if written >= max_tokens {
                break End::Length;
            }
        };
        let writing = began.elapsed();
        let rest = decoder.finish();
        text.push_str(&rest);
        emit(&rest)?;
        let shielded = self.codec.shielded(&text).into_owned();
        self.written = prompt + &shielded;
        self.messages.push(Message::new(Role::Assistant, shielded));
        Ok(Answer { text, read, reading, written, writing, end })
    }
}

/// With how many equal tokens both begin.
fn common(one: &[u32], other: &[u32]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}
