//! The tokenizer that came with an imported model.

use std::borrow::Cow;
use std::ops::Range;

use super::added::{AddedToken, AddedTokens, unshielded};
use super::merging::Merging;
use super::sentence_piece::SentencePiece;
use crate::{Error, Result};

/// What to do about a tokenizer that cannot be used.
pub(super) const HINT: &str = "get the model's files again from where they came, or another version of the model";

/// How a stored tokenizer merges text into tokens.
#[derive(Debug)]
pub(super) enum Pieces {
    ByRank(Box<Merging>),
    ByScore(Box<SentencePiece>),
}

/// What the readers of files find.
pub(super) struct Found {
    pub pieces: Pieces,
    /// What the tokens stand for, by number; nothing for a number without a token.
    pub texts: Vec<Vec<u8>>,
    /// Tokens that are found in text by name.
    pub added: Vec<AddedToken>,
    /// The token that texts begin with, and whether one is put before those that are read.
    pub first: Option<u32>,
    pub adds_first: bool,
    /// The token that ends a text in templates.
    pub last: Option<u32>,
    /// All tokens that end a text.
    pub stops: Vec<u32>,
    /// Whether text begins with a space of its own.
    pub adds_space: bool,
    /// Of everything that tokens depend on.
    pub hash: u64,
}

/// A tokenizer from the files of a model.
#[derive(Debug)]
pub struct StoredTokenizer {
    name: String,
    pieces: Pieces,
    vocab: usize,
    /// The bytes of every token, end to end, and where each starts.
    bytes: Vec<u8>,
    starts: Vec<u32>,
    added: AddedTokens,
    first: Option<u32>,
    adds_first: bool,
    last: Option<u32>,
    stops: Vec<u32>,
    adds_space: bool,
}

impl StoredTokenizer {
    /// Checks what was found in the files of `subject` against the tokens that the model has.
    pub(super) fn new(found: Found, subject: &str, vocab: usize) -> Result<Self> {
        let bad = |expected: String, found: String| Error::bad_input(subject, expected, found, HINT);
        if found.texts.len() > vocab {
            return Err(bad(
                format!("a tokenizer of at most {vocab} tokens, as the model has them"),
                format!("{} tokens", found.texts.len()),
            ));
        }
        let ids = found.added.iter().map(|token| token.id).chain(found.first).chain(found.last).chain(found.stops.iter().copied());
        if let Some(id) = ids.into_iter().find(|&id| id as usize >= found.texts.len()) {
            return Err(bad(format!("numbers of tokens below {}", found.texts.len()), format!("the token {id}")));
        }
        let (mut bytes, mut starts) = (Vec::new(), vec![0]);
        for text in &found.texts {
            bytes.extend_from_slice(text);
            let end = u32::try_from(bytes.len()).map_err(|_| bad("tokens of at most 4 GB of text".into(), "more".into()))?;
            starts.push(end);
        }
        let mut stops = found.stops;
        stops.sort_unstable();
        stops.dedup();
        Ok(Self {
            name: format!("stored-{:016x}", found.hash),
            pieces: found.pieces,
            vocab,
            bytes,
            starts,
            added: AddedTokens::new(found.added).map_err(|error| bad("tokens with names that can be looked for".into(), error))?,
            first: found.first,
            adds_first: found.adds_first,
            last: found.last,
            stops,
            adds_space: found.adds_space,
        })
    }

    /// Tells vocabularies apart.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tokens of the model, of which the tokenizer may use fewer.
    pub fn vocab_size(&self) -> usize {
        self.vocab
    }

    /// The token that a text that is read has to begin with, if any.
    pub fn first_token(&self) -> Option<u32> {
        self.first.filter(|_| self.adds_first)
    }

    /// The names of the tokens that begin and end a text, for templates.
    pub fn ends(&self) -> [Option<String>; 2] {
        [self.first, self.last].map(|id| id.map(|id| String::from_utf8_lossy(self.token_bytes(id as usize)).into_owned()))
    }

    /// The token that a text ends with, if any.
    pub fn end_token(&self) -> Option<u32> {
        self.last.or(self.stops.first().copied())
    }

    /// Tokens that end a text, in order.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.stops
    }

    /// What a token stands for: a control token for its name.
    pub fn token_bytes(&self, token: usize) -> &[u8] {
        match self.starts.get(token..token + 2) {
            Some(range) => &self.bytes[range[0] as usize..range[1] as usize],
            None => &[],
        }
    }

    /// The tokens of `text`, in which names of control tokens are text; `is_first` unless it goes on with one.
    pub fn encode(&self, text: &str, is_first: bool) -> Vec<u32> {
        self.encode_around(text, &self.added.find(text, false), is_first)
    }

    /// As [`Self::encode`], with the control tokens that are not shielded.
    pub fn encode_controls(&self, text: &str, is_first: bool) -> Vec<u32> {
        let mut plain = String::with_capacity(text.len());
        let mut end = 0;
        let mut added = self.added.find(text, true);
        for (_, range) in &mut added {
            plain.push_str(&unshielded(&text[end..range.start]));
            end = range.end;
            let start = plain.len();
            plain.push_str(&text[range.clone()]);
            *range = start..plain.len();
        }
        plain.push_str(&unshielded(&text[end..]));
        self.encode_around(&plain, &added, is_first)
    }

    /// Whether a token is one that no text has.
    pub fn is_control(&self, token: u32) -> bool {
        self.added.is_control(token)
    }

    /// Whether `text` has the name of such a token in it.
    pub fn names_control(&self, text: &str) -> bool {
        self.added.names_control(text)
    }

    /// `text` in which [`Self::encode_controls`] finds no control token.
    pub fn shielded<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.added.shielded(text)
    }

    fn encode_around(&self, text: &str, added: &[(u32, Range<usize>)], is_first: bool) -> Vec<u32> {
        match &self.pieces {
            Pieces::ByRank(pieces) if is_first || !self.adds_space => merge(pieces, text, added),
            // After the end of a line there is no such space, and nothing is merged with that.
            Pieces::ByRank(pieces) => {
                let later: Vec<_> = added.iter().map(|(id, range)| (*id, range.start + 1..range.end + 1)).collect();
                let [line, all] = [merge(pieces, "\n", &[]), merge(pieces, &format!("\n{text}"), &later)];
                all.strip_prefix(&line[..]).map_or_else(|| merge(pieces, text, added), <[u32]>::to_vec)
            }
            Pieces::ByScore(pieces) => {
                let mut tokens = Vec::new();
                let (mut end, mut is_first) = (0, is_first);
                for (id, range) in added {
                    pieces.encode(&text[end..range.start], is_first, &mut tokens);
                    tokens.push(*id);
                    (end, is_first) = (range.end, true);
                }
                pieces.encode(&text[end..], is_first, &mut tokens);
                tokens
            }
        }
    }
}

fn merge(pieces: &Merging, text: &str, added: &[(u32, Range<usize>)]) -> Vec<u32> {
    pieces.encode(text, added).expect("an unknown token of the vocabulary, as its reader checks")
}

/// What a token stands for that is written in the characters with which byte-level vocabularies write bytes (GPT-2's `bytes_to_unicode`).
pub(super) fn from_byte_level(token: &str) -> Vec<u8> {
    token.chars().map(byte_of).collect::<Option<_>>().unwrap_or_else(|| token.as_bytes().to_vec())
}

/// Bytes that are printed in Latin-1 are themselves, and the others follow from U+0100 on, in order.
fn byte_of(c: char) -> Option<u8> {
    let is_printed = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    match u8::try_from(c) {
        Ok(byte) => Some(byte).filter(|&byte| is_printed(byte)),
        Err(_) => (0..=u8::MAX).filter(|&byte| !is_printed(byte)).nth((c as usize).checked_sub(256)?),
    }
}

/// The byte of a token `<0x0A>`.
pub(super) fn named_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}
