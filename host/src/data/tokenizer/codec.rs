//! A tokenizer of whatever kind.

use std::borrow::Cow;
use std::sync::Arc;

use primal_engine::config::Tokenizer;
use primal_engine::files::TensorFile;

use super::byte_pairs::BytePairs;
use super::model_files::ModelFiles;
use super::stored::StoredTokenizer;
use super::stream::StreamDecoder;
use crate::{Error, Result};

/// Text is encoded in pieces of at most this many bytes, which bounds the regular expression's stack and spreads a corpus over threads.
pub(super) const PIECE: usize = 256 * 1024;

/// `<|endoftext|>`.
const GPT2_END: u32 = 50_256;

static BYTE_TABLE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte as u8;
        byte += 1;
    }
    table
};

/// Text to tokens and back. Clones share the vocabulary.
#[derive(Debug, Clone)]
pub enum TextCodec {
    /// One token per byte of UTF-8.
    Bytes,
    /// Byte pairs that are part of the program.
    Pairs(&'static BytePairs),
    /// What came with an imported model.
    Stored(Arc<StoredTokenizer>),
}

impl TextCodec {
    /// A tokenizer that needs no file.
    ///
    /// # Errors
    /// Bad input for one that does.
    pub fn named(tokenizer: Tokenizer) -> Result<Self> {
        match tokenizer {
            Tokenizer::Bytes => Ok(Self::Bytes),
            Tokenizer::English1k => Ok(Self::Pairs(BytePairs::english1k())),
            Tokenizer::Gpt2 => Ok(Self::Pairs(BytePairs::gpt2())),
            Tokenizer::Stored(_) => Err(Error::bad_input(
                "model.tokenizer",
                "bytes, english1k or gpt2 where no file of a model is given",
                tokenizer.name(),
                "a stored tokenizer lies in the file of an imported model: give that file",
            )),
        }
    }

    /// The tokenizer of a model's configuration, which may lie in the model's file.
    ///
    /// # Errors
    /// Bad input for a file without it, or with one that cannot be used.
    pub fn of(tokenizer: Tokenizer, file: &dyn TensorFile) -> Result<Self> {
        match tokenizer {
            Tokenizer::Stored(vocab) => Ok(Self::Stored(Arc::new(ModelFiles::attached_to(file)?.tokenizer(vocab)?))),
            named => Self::named(named),
        }
    }

    /// Tells vocabularies apart: a name, or what is hashed of a stored one.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Bytes => Tokenizer::Bytes.name(),
            Self::Pairs(pairs) => pairs.tokenizer.name(),
            Self::Stored(stored) => stored.name().into(),
        }
    }

    /// Number of tokens of the model.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Bytes => Tokenizer::Bytes.vocab_size(),
            Self::Pairs(pairs) => pairs.tokenizer.vocab_size(),
            Self::Stored(stored) => stored.vocab_size(),
        }
    }

    /// The tokens of `text`, in which names of control tokens are text like any other. Decoding them gives `text` back, unless a stored tokenizer
    /// changes text first, as those that want composed characters do.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        match self {
            Self::Bytes => text.bytes().map(u32::from).collect(),
            _ => pieces(text).enumerate().flat_map(|(i, piece)| self.encode_piece(piece, i == 0)).collect(),
        }
    }

    /// The tokens of one of the [`pieces`] of a text, which may be its first.
    pub(in crate::data) fn encode_piece(&self, piece: &str, is_first: bool) -> Vec<u32> {
        match self {
            Self::Bytes => piece.bytes().map(u32::from).collect(),
            Self::Pairs(pairs) => pairs.encode(piece),
            Self::Stored(stored) => stored.encode(piece, is_first),
        }
    }

    /// What a model is given to continue `text`: its first token, where it wants one, and those of the text.
    pub fn prompt(&self, text: &str) -> Vec<u32> {
        let first = self.stored().and_then(|stored| stored.first_token());
        first.into_iter().chain(self.encode(text)).collect()
    }

    /// The tokens of what a template made: names of control tokens in it are those tokens, but for names that [`Self::shielded`] took that from.
    /// `is_first` unless it goes on with a text.
    pub fn encode_controls(&self, text: &str, is_first: bool) -> Vec<u32> {
        match self {
            Self::Stored(stored) => stored.encode_controls(text, is_first),
            _ => self.encode(text),
        }
    }

    /// `text` for a template, so that [`Self::encode_controls`] finds no control token in it.
    pub fn shielded<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self {
            Self::Stored(stored) => stored.shielded(text),
            _ => text.into(),
        }
    }

    /// The bytes that `token` stands for, which may be part of a character; none for a number outside the vocabulary.
    pub fn token_bytes(&self, token: u32) -> &[u8] {
        let index = token as usize;
        match self {
            _ if index >= self.vocab_size() => &[],
            Self::Bytes => &BYTE_TABLE[index..=index],
            Self::Pairs(pairs) => pairs.token_bytes(index),
            Self::Stored(stored) => stored.token_bytes(index),
        }
    }

    /// Length in bytes of the text that `token` stands for, for bits per byte: none of a control token, which no text has.
    pub fn bytes_of(&self, token: u32) -> usize {
        let is_control = match self {
            Self::Stored(stored) => stored.is_control(token),
            _ => self.stop_tokens().contains(&token),
        };
        if is_control { 0 } else { self.token_bytes(token).len() }
    }

    /// Whether `text` has the name of a control token in it, which [`Self::encode`] takes for letters.
    pub fn names_control(&self, text: &str) -> bool {
        match self {
            Self::Stored(stored) => stored.names_control(text),
            _ => self.stop_tokens().iter().any(|&token| text.contains(&*self.decode(&[token]))),
        }
    }

    /// The text of `tokens`; bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| self.token_bytes(token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A decoder for output that is shown token by token.
    pub fn stream_decoder(&self) -> StreamDecoder {
        StreamDecoder::new(self.clone())
    }

    /// Tokens that end a text: of a stored tokenizer those that its model says, and of GPT-2's the last one, which no text has. Bytes and `english1k` have
    /// none.
    pub fn stop_tokens(&self) -> &[u32] {
        match self {
            Self::Stored(stored) => stored.stop_tokens(),
            Self::Pairs(pairs) if pairs.tokenizer == Tokenizer::Gpt2 => &[GPT2_END],
            Self::Pairs(_) | Self::Bytes => &[],
        }
    }

    /// The token that is put after a document: one that ends a text, or of a vocabulary without it the end of a line. Of bytes and `english1k` it is the
    /// byte.
    pub fn end_token(&self) -> Option<u32> {
        match self {
            Self::Stored(stored) => stored.end_token(),
            _ => Some(self.stop_tokens().first().copied().unwrap_or(u32::from(b'\n'))),
        }
    }

    /// The stored tokenizer, if it is one.
    pub fn stored(&self) -> Option<&StoredTokenizer> {
        match self {
            Self::Stored(stored) => Some(stored),
            _ => None,
        }
    }
}

/// Cuts `text` into pieces of at most 256 KiB, a function of the text alone.
pub(in crate::data) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, tail) = rest.split_at(piece_end(rest));
        rest = tail;
        Some(piece)
    })
}

/// Where the first piece of `text` ends.
///
/// A line end between two visible ASCII characters is best: the expression always makes the line feed a match of its own there, or the end of one, so that
/// the tokens are those of the whole text. Text without such a place is cut at any line end, or between two characters.
fn piece_end(text: &str) -> usize {
    if text.len() <= PIECE {
        return text.len();
    }
    let bytes = text.as_bytes();
    let half = PIECE / 2;
    let seam = |at: &usize| bytes[at - 1] == b'\n' && bytes[at - 2].is_ascii_graphic() && bytes[*at].is_ascii_graphic();
    (half..=PIECE)
        .rev()
        .find(seam)
        .or_else(|| (half..=PIECE).rev().find(|at| bytes[at - 1] == b'\n' && text.is_char_boundary(*at)))
        .or_else(|| (half..=PIECE).rev().find(|at| text.is_char_boundary(*at)))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all() -> [TextCodec; 3] {
        Tokenizer::ALL.map(|tokenizer| TextCodec::named(tokenizer).unwrap())
    }

    #[test]
    fn numbers_outside_the_vocabulary_are_nothing() {
        for codec in all() {
            assert_eq!(codec.decode(&[u32::MAX]), "");
            assert_eq!(codec.stream_decoder().push(u32::MAX), "");
        }
    }

    #[test]
    fn a_stored_tokenizer_needs_its_file() {
        let error = TextCodec::named(Tokenizer::Stored(5)).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("stored:5"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_round_trips(text in any::<String>()) {
            for codec in all() {
                let tokens = codec.encode(&text);
                prop_assert!(tokens.iter().all(|&token| (token as usize) < codec.vocab_size()));
                prop_assert_eq!(&codec.decode(&tokens), &text);
                let bytes: usize = tokens.iter().map(|&token| codec.bytes_of(token)).sum();
                prop_assert_eq!(bytes, text.len());
                prop_assert_eq!(codec.prompt(&text), tokens);
            }
        }

        #[test]
        fn streaming_gives_the_whole_text(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let tokens: Vec<u32> = bytes.iter().map(|&byte| u32::from(byte)).collect();
            let mut decoder = TextCodec::Bytes.stream_decoder();
            let mut text = String::new();
            for &token in &tokens {
                text += &decoder.push(token);
                prop_assert!(decoder.pending.len() < 4, "holds back {} bytes", decoder.pending.len());
            }
            text += &decoder.finish();
            prop_assert_eq!(text, TextCodec::Bytes.decode(&tokens));
        }
    }
}
