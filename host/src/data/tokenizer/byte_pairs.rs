//! The byte pairs of GPT-2 (vocabulary `r50k_base`, inside `tiktoken-rs`), and 1,024 byte pairs of simple English (`models/make_vocabulary.py` made
//! them).

use std::fmt;
use std::sync::LazyLock;

use primal_engine::config::Tokenizer;
use rustc_hash::FxHashMap;
use tiktoken_rs::CoreBPE;

/// How the encoders of GPT-2 and after cut text before they join bytes (Radford et al., 2019; possessive as in `tiktoken`).
const GPT2_WORDS: &str = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s";

/// The tokens of `english1k` above the 256 bytes, in the order in which they were joined.
const ENGLISH1K: &str = include_str!("../english1k.json");

/// A byte-pair encoding that is part of the program.
pub struct BytePairs {
    /// Which one it is.
    pub tokenizer: Tokenizer,
    encoder: Encoder,
    /// The bytes of every token, end to end, and where each starts.
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

enum Encoder {
    Shared(&'static CoreBPE),
    Own(CoreBPE),
}

impl fmt::Debug for BytePairs {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_tuple("BytePairs").field(&self.tokenizer).finish()
    }
}

impl BytePairs {
    fn new(tokenizer: Tokenizer, encoder: Encoder) -> Self {
        let mut pairs = Self { tokenizer, encoder, bytes: Vec::new(), starts: vec![0] };
        for token in 0..tokenizer.vocab_size() as u32 {
            // A number missing from the vocabulary would decode to nothing; a test checks that there is none.
            let bytes = pairs.core().decode_bytes(&[token]).unwrap_or_default();
            pairs.bytes.extend(bytes);
            pairs.starts.push(pairs.bytes.len() as u32);
        }
        pairs
    }

    /// GPT-2's.
    pub fn gpt2() -> &'static Self {
        static GPT2: LazyLock<BytePairs> =
            LazyLock::new(|| BytePairs::new(Tokenizer::Gpt2, Encoder::Shared(tiktoken_rs::r50k_base_singleton())));
        &GPT2
    }

    /// Those of simple English.
    pub fn english1k() -> &'static Self {
        static ENGLISH: LazyLock<BytePairs> = LazyLock::new(|| BytePairs::new(Tokenizer::English1k, Encoder::Own(english1k())));
        &ENGLISH
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

    /// What a token of the vocabulary stands for.
    pub fn token_bytes(&self, token: usize) -> &[u8] {
        &self.bytes[self.starts[token] as usize..self.starts[token + 1] as usize]
    }
}

/// Byte-pair encoders join the pair with the lowest number first, so the order of the list is the vocabulary's only content.
fn english1k() -> CoreBPE {
    let joined: Vec<String> = serde_json::from_str(ENGLISH1K).expect("the embedded vocabulary is a list of strings");
    let bytes = (0..=u8::MAX).map(|byte| vec![byte]);
    let tokens = bytes.chain(joined.into_iter().map(|token| token.into_bytes())).zip(0..).collect();
    CoreBPE::new(tokens, FxHashMap::default(), GPT2_WORDS).expect("the embedded vocabulary has no token twice")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tokenizer::codec::{PIECE, TextCodec, pieces};

    fn gpt2() -> TextCodec {
        TextCodec::Pairs(BytePairs::gpt2())
    }

    fn english() -> TextCodec {
        TextCodec::Pairs(BytePairs::english1k())
    }

    #[test]
    fn gpt2_tokens_are_those_of_gpt2() {
        // The published example of the GPT-2 vocabulary.
        assert_eq!(gpt2().encode("Hello world"), [15496, 995]);
        assert_eq!(gpt2().decode(&[15496, 995, 50256]), "Hello world<|endoftext|>");
        // Special tokens in a text are text.
        assert!(!gpt2().encode("<|endoftext|>").contains(&50256));
        for token in 0..50_257 {
            assert!(!gpt2().token_bytes(token).is_empty(), "token {token} has no bytes");
        }
    }

    #[test]
    fn every_token_of_english_stands_for_text_of_its_own() {
        let english = english();
        let tokens = (0..1024).map(|token| english.token_bytes(token));
        let distinct: std::collections::HashSet<&[u8]> = tokens.clone().collect();
        assert_eq!(distinct.len(), 1024);
        assert!(tokens.skip(256).all(|bytes| bytes.len() > 1 && bytes.is_ascii()));
        // What is joined first is the commonest: words of the stories are one token each.
        let words = ["Once", " upon", " a", " time", ",", " there", " was"];
        let each: Vec<Vec<u32>> = words.map(|word| english.encode(word)).into();
        assert_eq!(english.encode("Once upon a time, there was"), each.concat());
        let text = crate::data::stories(5, 100_000);
        let tokens = english.encode(&text).len();
        assert!(tokens * 29 < text.len() * 10, "{tokens} tokens for {} bytes", text.len());
    }

    /// Checkpoints and caches of tokens know a vocabulary by its name alone: another one needs another name.
    #[test]
    fn the_vocabulary_of_a_name_never_changes() {
        assert_eq!(xxhash_rust::xxh3::xxh3_64(ENGLISH1K.as_bytes()), 7_154_800_109_889_249_126);
    }

    #[test]
    fn pieces_do_not_change_the_tokens() {
        let text = crate::data::stories(5, 3 * PIECE);
        assert!(pieces(&text).count() >= 3);
        let whole = tiktoken_rs::r50k_base_singleton().encode_ordinary(&text);
        assert!(gpt2().encode(&text) == whole, "cutting into pieces changed the tokens");
        let whole = english1k().encode_ordinary(&text);
        assert!(english().encode(&text) == whole, "cutting into pieces changed the tokens");
    }

    #[test]
    fn long_runs_are_encoded() {
        for text in [" ", "a", "\n", "☃", "\r\n", "!"].map(|unit| unit.repeat(PIECE + 7)) {
            for codec in [english(), gpt2()] {
                let tokens = codec.encode(&text);
                assert!(codec.decode(&tokens) == text, "{:?}…", &text[..3.min(text.len())]);
            }
        }
    }
}
