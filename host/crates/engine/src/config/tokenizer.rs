//! The names of tokenizers: a model's vocabulary depends on nothing else of them.

use crate::{Error, Result};

/// How text becomes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tokenizer {
    /// One token per byte of UTF-8.
    Bytes,
    /// Byte-pair encoding of GPT-2 (Radford et al., 2019).
    Gpt2,
}

impl Tokenizer {
    /// The name on the command line and in checkpoints.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Gpt2 => "gpt2",
        }
    }

    /// The tokenizer of that name; `subject` is the flag or file that holds the name.
    ///
    /// # Errors
    /// Bad input for any other name.
    pub fn from_name(name: &str, subject: &str) -> Result<Self> {
        match name {
            "bytes" => Ok(Self::Bytes),
            "gpt2" => Ok(Self::Gpt2),
            _ => Err(Error::invalid(
                subject,
                "bytes or gpt2",
                format!("{name:?}"),
                "bytes suits small models, gpt2 those of 100 million weights and more",
            )),
        }
    }

    /// Number of tokens: 256 or 50,257 (the last of which, `<|endoftext|>`, no text encodes to).
    pub const fn vocab_size(self) -> usize {
        match self {
            Self::Bytes => 256,
            Self::Gpt2 => 50_257,
        }
    }
}
