//! A sequence that a decoder reads and writes, of any length: when its cache is full, the oldest tokens are forgotten.

use super::text::TextDecoder;
use crate::backend::Backend;
use crate::memory::Span;
use crate::nn::Parameters;

/// Tokens of a sequence, of which the decoder has read the first.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    tokens: Vec<u32>,
    read: usize,
    keep: usize,
}

impl Sequence {
    /// An empty sequence.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tokens that are not forgotten.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens that the decoder has not read yet.
    pub fn unread(&self) -> usize {
        self.tokens.len() - self.read
    }

    /// Adds tokens at the end.
    pub fn extend(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
    }

    /// Has the tokens so far, a system prompt, stay when others are forgotten; at most half a context of them do.
    pub fn keep_all_so_far(&mut self) {
        self.keep = self.tokens.len();
    }

    /// Keeps only the first tokens.
    pub fn truncate(&mut self, len: usize) {
        self.tokens.truncate(len);
        (self.read, self.keep) = (self.read.min(len), self.keep.min(len));
    }

    /// Reads what the decoder has not read yet, at least one token; logits of the next, `[vocab]`. If the context has no room for it, the older half of
    /// what need not stay is forgotten first, or as much as is needed.
    pub fn logits<B: Backend>(&mut self, b: &mut B, p: &Parameters, model: &impl TextDecoder) -> Span<f32> {
        let context = model.context();
        if self.tokens.len() > context {
            let keep = self.keep.min(context / 2);
            let count = self.tokens.len() - keep - (context - keep).div_ceil(2);
            // Of those that were read.
            let read = count.min(self.read.saturating_sub(keep));
            let can_turn = self.read >= keep && (read == 0 || model.forget(b, keep, read, self.read));
            self.read = if can_turn { self.read - read } else { 0 };
            self.tokens.drain(keep..keep + count);
        }
        let past = self.read;
        self.read = self.tokens.len();
        model.read(b, p, &self.tokens[past..], past)
    }
}
