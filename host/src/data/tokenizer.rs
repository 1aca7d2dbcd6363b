//! Tokenizers: plain bytes, the byte pairs of GPT-2 (vocabulary `r50k_base`, inside `tiktoken-rs`), and 1,024 byte pairs of simple English
//! (`models/make_vocabulary.py` made them).

use std::sync::LazyLock;

use primal_engine::config::Tokenizer;
use rustc_hash::FxHashMap;
use tiktoken_rs::CoreBPE;

/// Text is encoded in pieces of at most this many bytes, which bounds the regular expression's stack and spreads a corpus over threads.
const PIECE: usize = 256 * 1024;

/// How the encoders of GPT-2 and after cut text before they join bytes (Radford et al., 2019; possessive as in `tiktoken`).
const GPT2_WORDS: &str = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s";

/// The tokens of `english1k` above the 256 bytes, in the order in which they were joined.
const ENGLISH1K: &str = include_str!("english1k.json");

static BYTE_TABLE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte as u8;
        byte += 1;
    }
    table
};

/// A byte-pair encoding.
pub(super) struct BytePairs {
    /// The tokenizer's name.
    pub name: &'static str,
    encoder: Encoder,
    /// The bytes of every token, end to end, and where each starts.
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

enum Encoder {
    Shared(&'static CoreBPE),
    Own(CoreBPE),
}

impl BytePairs {
    fn new(tokenizer: Tokenizer, encoder: Encoder) -> Self {
        let mut pairs = Self { name: tokenizer.name(), encoder, bytes: Vec::new(), starts: vec![0] };
        for token in 0..tokenizer.vocab_size() as u32 {
            // A number missing from the vocabulary would decode to nothing; a test checks that there is none.
            let bytes = pairs.core().decode_bytes(&[token]).unwrap_or_default();
            pairs.bytes.extend(bytes);
            pairs.starts.push(pairs.bytes.len() as u32);
        }
        pairs
    }

    fn core(&self) -> &CoreBPE {
        match &self.encoder {
            Encoder::Shared(core) => core,
            Encoder::Own(core) => core,
        }
    }

    /// The tokens of one piece of text. No panic: pieces are short enough for the regular expression's limits.
    pub fn encode(&self, piece: &str) -> Vec<u32> {
        self.core().encode_ordinary(piece)
    }

    fn token_bytes(&self, token: usize) -> &[u8] {
        &self.bytes[self.starts[token] as usize..self.starts[token + 1] as usize]
    }
}

/// The byte pairs of a tokenizer; none for [`Tokenizer::Bytes`].
pub(super) fn byte_pairs(tokenizer: Tokenizer) -> Option<&'static BytePairs> {
    static GPT2: LazyLock<BytePairs> =
        LazyLock::new(|| BytePairs::new(Tokenizer::Gpt2, Encoder::Shared(tiktoken_rs::r50k_base_singleton())));
    static ENGLISH: LazyLock<BytePairs> = LazyLock::new(|| BytePairs::new(Tokenizer::English1k, Encoder::Own(english1k())));
    match tokenizer {
        Tokenizer::Bytes => None,
        Tokenizer::English1k => Some(&ENGLISH),
        Tokenizer::Gpt2 => Some(&GPT2),
    }
}

/// Byte-pair encoders join the pair with the lowest number first, so the order of the list is the vocabulary's only content.
fn english1k() -> CoreBPE {
    let joined: Vec<String> = serde_json::from_str(ENGLISH1K).expect("the embedded vocabulary is a list of strings");
    let bytes = BYTE_TABLE.iter().map(|&byte| vec![byte]);
    let tokens = bytes.chain(joined.into_iter().map(|token| token.into_bytes())).zip(0..).collect();
    CoreBPE::new(tokens, FxHashMap::default(), GPT2_WORDS).expect("the embedded vocabulary has no token twice")
}

/// Text to tokens and back.
pub trait Encode {
    /// The tokens of `text`; decoding them gives `text` back.
    fn encode(self, text: &str) -> Vec<u32>;
    /// The bytes that `token` stands for, which may be part of a character; none for a number outside the vocabulary.
    fn token_bytes(self, token: u32) -> &'static [u8];
    /// Length in bytes of the text that `token` stands for, for bits per byte.
    fn bytes_of(self, token: u32) -> usize;
    /// The text of `tokens`; bytes that are not UTF-8 become U+FFFD.
    fn decode(self, tokens: &[u32]) -> String;
    /// A decoder for output that is shown token by token.
    fn stream_decoder(self) -> StreamDecoder;
}

impl Encode for Tokenizer {
    fn encode(self, text: &str) -> Vec<u32> {
        match byte_pairs(self) {
            None => text.bytes().map(u32::from).collect(),
            Some(pairs) => pieces(text).flat_map(|piece| pairs.encode(piece)).collect(),
        }
    }

    fn token_bytes(self, token: u32) -> &'static [u8] {
        let index = token as usize;
        if index >= self.vocab_size() {
            return &[];
        }
        match byte_pairs(self) {
            None => &BYTE_TABLE[index..=index],
            Some(pairs) => pairs.token_bytes(index),
        }
    }

    fn bytes_of(self, token: u32) -> usize {
        self.token_bytes(token).len()
    }

    fn decode(self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| self.token_bytes(token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn stream_decoder(self) -> StreamDecoder {
        StreamDecoder { tokenizer: self, pending: Vec::new() }
    }
}

/// Cuts `text` into pieces of at most 256 KiB, a function of the text alone.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
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
/// A line end between two visible ASCII characters is best: the expression always makes the line feed a match of its own there, so that
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

/// Turns tokens into text one at a time, holding back the bytes of a character that is not complete yet.
#[derive(Debug, Clone)]
pub struct StreamDecoder {
    tokenizer: Tokenizer,
    pending: Vec<u8>,
}

impl StreamDecoder {
    /// The text that `token` completes, possibly empty.
    pub fn push(&mut self, token: u32) -> String {
        self.pending.extend_from_slice(self.tokenizer.token_bytes(token));
        let mut text = String::new();
        let mut used = 0;
        loop {
            match std::str::from_utf8(&self.pending[used..]) {
                Ok(valid) => {
                    text.push_str(valid);
                    used = self.pending.len();
                    break;
                }
                Err(error) => {
                    let valid = used + error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&self.pending[used..valid]));
                    used = valid;
                    match error.error_len() {
                        Some(length) => {
                            text.push(char::REPLACEMENT_CHARACTER);
                            used += length;
                        }
                        None => break,
                    }
                }
            }
        }
        self.pending.drain(..used);
        text
    }

    /// What is left at the end: nothing, or U+FFFD for a character that was never completed.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gpt2_tokens_are_those_of_gpt2() {
        // The published example of the GPT-2 vocabulary.
        assert_eq!(Tokenizer::Gpt2.encode("Hello world"), [15496, 995]);
        assert_eq!(Tokenizer::Gpt2.decode(&[15496, 995, 50256]), "Hello world<|endoftext|>");
        // Special tokens in a text are text.
        assert!(!Tokenizer::Gpt2.encode("<|endoftext|>").contains(&50256));
        for token in 0..50_257 {
            assert!(Tokenizer::Gpt2.bytes_of(token) > 0, "token {token} has no bytes");
        }
    }

    #[test]
    fn every_token_of_english_stands_for_text_of_its_own() {
        let tokens = (0..1024).map(|token| Tokenizer::English1k.token_bytes(token));
        let distinct: std::collections::HashSet<&[u8]> = tokens.clone().collect();
        assert_eq!(distinct.len(), 1024);
        assert!(tokens.skip(256).all(|bytes| bytes.len() > 1 && bytes.is_ascii()));
        // What is joined first is the commonest: words of the stories are one token each.
        let words = ["Once", " upon", " a", " time", ",", " there", " was"];
        let each: Vec<Vec<u32>> = words.map(|word| Tokenizer::English1k.encode(word)).into();
        assert_eq!(Tokenizer::English1k.encode("Once upon a time, there was"), each.concat());
        let text = crate::data::stories(5, 100_000);
        let tokens = Tokenizer::English1k.encode(&text).len();
        assert!(tokens * 29 < text.len() * 10, "{tokens} tokens for {} bytes", text.len());
    }

    /// Checkpoints and caches of tokens know a vocabulary by its name alone: another one needs another name.
    #[test]
    fn the_vocabulary_of_a_name_never_changes() {
        assert_eq!(xxhash_rust::xxh3::xxh3_64(ENGLISH1K.as_bytes()), 7_154_800_109_889_249_126);
    }

    #[test]
    fn names_round_trip() {
        for tokenizer in Tokenizer::ALL {
            assert_eq!(Tokenizer::from_name(tokenizer.name(), "--tokenizer").unwrap(), tokenizer);
        }
        let error = Tokenizer::from_name("gpt3", "--tokenizer").unwrap_err();
        assert!(error.to_string().contains("gpt3"));
    }

    #[test]
    fn numbers_outside_the_vocabulary_are_nothing() {
        for tokenizer in Tokenizer::ALL {
            assert_eq!(tokenizer.decode(&[u32::MAX]), "");
            assert_eq!(tokenizer.stream_decoder().push(u32::MAX), "");
        }
    }

    #[test]
    fn pieces_do_not_change_the_tokens() {
        let text = crate::data::stories(5, 3 * PIECE);
        assert!(pieces(&text).count() >= 3);
        let whole = tiktoken_rs::r50k_base_singleton().encode_ordinary(&text);
        assert!(Tokenizer::Gpt2.encode(&text) == whole, "cutting into pieces changed the tokens");
        let whole = english1k().encode_ordinary(&text);
        assert!(Tokenizer::English1k.encode(&text) == whole, "cutting into pieces changed the tokens");
    }

    #[test]
    fn long_runs_are_encoded() {
        for text in [" ", "a", "\n", "☃", "\r\n", "!"].map(|unit| unit.repeat(PIECE + 7)) {
            for tokenizer in [Tokenizer::English1k, Tokenizer::Gpt2] {
                let tokens = tokenizer.encode(&text);
                assert!(tokenizer.decode(&tokens) == text, "{:?}…", &text[..3.min(text.len())]);
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_round_trips(text in any::<String>()) {
            for tokenizer in Tokenizer::ALL {
                let tokens = tokenizer.encode(&text);
                prop_assert!(tokens.iter().all(|&token| (token as usize) < tokenizer.vocab_size()));
                prop_assert_eq!(&tokenizer.decode(&tokens), &text);
                let bytes: usize = tokens.iter().map(|&token| tokenizer.bytes_of(token)).sum();
                prop_assert_eq!(bytes, text.len());
            }
        }

        #[test]
        fn streaming_gives_the_whole_text(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let tokens: Vec<u32> = bytes.iter().map(|&byte| u32::from(byte)).collect();
            let mut decoder = Tokenizer::Bytes.stream_decoder();
            let mut text = String::new();
            for &token in &tokens {
                text += &decoder.push(token);
                prop_assert!(decoder.pending.len() < 4, "holds back {} bytes", decoder.pending.len());
            }
            text += &decoder.finish();
            prop_assert_eq!(text, Tokenizer::Bytes.decode(&tokens));
        }
    }
}
