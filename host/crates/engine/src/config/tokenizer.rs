//! The names of tokenizers: a model's vocabulary depends on nothing else of them.

use std::borrow::Cow;

use crate::{Error, Result};

/// The names of tokenizers that anyone can choose, for errors.
pub const TOKENIZERS: &str = "bytes, english1k or gpt2";
/// The largest vocabulary that is read; those of published models have a quarter of it.
pub const MOST_TOKENS: usize = 1 << 20;
const STORED: &str = "stored:";

/// How text becomes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tokenizer {
    /// One token per byte of UTF-8.
    Bytes,
    /// Byte pairs of simple English: 1,024 tokens, of three bytes on average.
    English1k,
    /// Byte-pair encoding of GPT-2 (Radford et al., 2019).
    Gpt2,
    /// The one that came with an imported model, of so many tokens: it lies in the files that are attached to that of the model.
    Stored(usize),
}

impl Tokenizer {
    /// Every tokenizer that needs no file, smallest vocabulary first.
    pub const ALL: [Self; 3] = [Self::Bytes, Self::English1k, Self::Gpt2];

    /// The name on the command line and in checkpoints.
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Self::Bytes => "bytes".into(),
            Self::English1k => "english1k".into(),
            Self::Gpt2 => "gpt2".into(),
            Self::Stored(vocab) => format!("{STORED}{vocab}").into(),
        }
    }

    /// The tokenizer of that name in a file.
    pub fn by_name(name: &str) -> Option<Self> {
        let stored = || {
            let digits = name.strip_prefix(STORED).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
            digits.parse().ok().filter(|vocab| (1..=MOST_TOKENS).contains(vocab)).map(Self::Stored)
        };
        Self::ALL.into_iter().find(|tokenizer| tokenizer.name() == name).or_else(stored)
    }

    /// The tokenizer of that name that needs no file; `subject` is the flag that holds the name.
    ///
    /// # Errors
    /// Bad input for any other name.
    pub fn from_name(name: &str, subject: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|tokenizer| tokenizer.name() == name).ok_or_else(|| {
            Error::invalid(
                subject,
                TOKENIZERS,
                format!("{name:?}"),
                "english1k suits small models of English, bytes those of other text, gpt2 those of 100 million weights and more",
            )
        })
    }

    /// Number of tokens: 256, 1,024, 50,257 (the last of which, `<|endoftext|>`, no text encodes to), or as many as the model has.
    pub const fn vocab_size(self) -> usize {
        match self {
            Self::Bytes => 256,
            Self::English1k => 1024,
            Self::Gpt2 => 50_257,
            Self::Stored(vocab) => vocab,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for tokenizer in Tokenizer::ALL.into_iter().chain([Tokenizer::Stored(1), Tokenizer::Stored(MOST_TOKENS)]) {
            assert_eq!(Tokenizer::by_name(&tokenizer.name()), Some(tokenizer));
        }
        for name in
            ["gpt3", "stored", "stored:", "stored:0", "stored:-1", "stored:+1", "stored:1048577", "stored:99999999999999999999", "Bytes"]
        {
            assert_eq!(Tokenizer::by_name(name), None, "{name}");
        }
        let error = Tokenizer::from_name("stored:9", "--tokenizer").unwrap_err().to_string();
        assert!(error.contains("--tokenizer") && error.contains("stored:9"), "{error}");
    }
}
