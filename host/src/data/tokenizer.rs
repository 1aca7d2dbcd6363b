//! Tokenizers: plain bytes, and the byte pairs of GPT-2 (vocabulary `r50k_base`, inside `tiktoken-rs`).

use std::sync::LazyLock;

use primal_engine::config::Tokenizer;

/// Text is encoded in pieces of at most this many bytes, which bounds the regular expression's stack and spreads a corpus over threads.
const PIECE: usize = 256 * 1024;

static BYTE_TABLE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte as u8;
        byte += 1;
    }
    table
};

/// The bytes of every GPT-2 token, end to end, and where each starts.
struct TokenBytes {
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

static GPT2_BYTES: LazyLock<TokenBytes> = LazyLock::new(|| {
    let bpe = tiktoken_rs::r50k_base_singleton();
    let mut table = TokenBytes { bytes: Vec::new(), starts: vec![0] };
    for token in 0..Tokenizer::Gpt2.vocab_size() as u32 {
        // A number missing from the vocabulary would decode to nothing; a test checks that there is none.
        table.bytes.extend(bpe.decode_bytes(&[token]).unwrap_or_default());
        table.starts.push(table.bytes.len() as u32);
    }
    table
});

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
        match self {
            Self::Bytes => text.bytes().map(u32::from).collect(),
            Self::Gpt2 => pieces(text).flat_map(encode_piece).collect(),
        }
    }

    fn token_bytes(self, token: u32) -> &'static [u8] {
        let index = token as usize;
        if index >= self.vocab_size() {
            return &[];
        }
        match self {
            Self::Bytes => &BYTE_TABLE[index..=index],
            Self::Gpt2 => {
                let table = &*GPT2_BYTES;
                &table.bytes[table.starts[index] as usize..table.starts[index + 1] as usize]
            }
        }
    }

    fn bytes_of(self, token: u32) -> usize {
        match self {
            Self::Bytes => 1,
            Self::Gpt2 => self.token_bytes(token).len(),
        }
    }

    fn decode(self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| self.token_bytes(token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn stream_decoder(self) -> StreamDecoder {
        StreamDecoder { tokenizer: self, pending: Vec::new() }
    }
}

/// GPT-2 tokens of one piece of text. No panic: pieces are short enough for the regular expression's limits.
pub(super) fn encode_piece(piece: &str) -> Vec<u32> {
    tiktoken_rs::r50k_base_singleton().encode_ordinary(piece)
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

    const BOTH: [Tokenizer; 2] = [Tokenizer::Bytes, Tokenizer::Gpt2];

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
    fn names_round_trip() {
        for tokenizer in BOTH {
            assert_eq!(Tokenizer::from_name(tokenizer.name(), "--tokenizer").unwrap(), tokenizer);
        }
        let error = Tokenizer::from_name("gpt3", "--tokenizer").unwrap_err();
        assert!(error.to_string().contains("gpt3"));
    }

    #[test]
    fn numbers_outside_the_vocabulary_are_nothing() {
        for tokenizer in BOTH {
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
    }

    #[test]
    fn long_runs_are_encoded() {
        for text in [" ", "a", "\n", "☃", "\r\n", "!"].map(|unit| unit.repeat(PIECE + 7)) {
            let tokens = Tokenizer::Gpt2.encode(&text);
            assert!(Tokenizer::Gpt2.decode(&tokens) == text, "{:?}…", &text[..3.min(text.len())]);
        }
    }

    proptest! {
        #[test]
        fn any_text_round_trips(text in any::<String>()) {
            for tokenizer in BOTH {
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
