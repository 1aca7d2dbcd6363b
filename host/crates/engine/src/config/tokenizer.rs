//! The names of tokenizers: a model's vocabulary depends on nothing else of them.

use crate::{Error, Result};

/// How text becomes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tokenizer {
    /// One token per byte of UTF-8.
    Bytes,
    /// Byte pairs of simple English: 1,024 tokens, of three bytes on average.
    English1k,
    /// Byte-pair encoding of GPT-2 (Radford et al., 2019).
    Gpt2,
}

impl Tokenizer {
    /// Every tokenizer, smallest vocabulary first.
    pub const ALL: [Self; 3] = [Self::Bytes, Self::English1k, Self::Gpt2];

    /// The name on the command line and in checkpoints.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::English1k => "english1k",
            Self::Gpt2 => "gpt2",
        }
    }

    /// The tokenizer of that name; `subject` is the flag or file that holds the name.
    ///
    /// # Errors
    /// Bad input for any other name.
    pub fn from_name(name: &str, subject: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|tokenizer| tokenizer.name() == name).ok_or_else(|| {
            Error::invalid(
                subject,
                "bytes, english1k or gpt2",
                format!("{name:?}"),
                "english1k suits small models of English, bytes those of other text, gpt2 those of 100 million weights and more",
            )
        })
    }

    /// Number of tokens: 256, 1,024 or 50,257 (the last of which, `<|endoftext|>`, no text encodes to).
    pub const fn vocab_size(self) -> usize {
        match self {
            Self::Bytes => 256,
            Self::English1k => 1024,
            Self::Gpt2 => 50_257,
        }
    }
}
