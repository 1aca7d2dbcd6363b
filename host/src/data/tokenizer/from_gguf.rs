//! A tokenizer from the metadata of a GGUF file (`tokenizer.ggml.…`), read as llama.cpp reads it.

use std::hash::Hasher;

use primal_engine::config::MOST_TOKENS;
use primal_engine::files::gguf::{Array, Gguf, Value};
use rustc_hash::{FxHashMap, FxHashSet};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};
use xxhash_rust::xxh3::Xxh3;

use super::added::AddedToken;
use super::merging::Merging;
use super::pre_tokenizers::{self, PreTokenizer};
use super::sentence_piece::{SPACE, SentencePiece};
use super::stored::{Found, HINT, Pieces, from_byte_level, named_byte};
use crate::{Error, Result};

/// llama.cpp asks for merges: this one stands for none, where it makes no token.
pub(super) const NO_MERGE: [&str; 2] = ["Ā Ā", "ĀĀ"];

/// Names of control tokens that end a turn or a text, in models that do not say which do.
const STOPS: [&str; 17] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<｜end▁of▁sentence｜>",
];

/// Kinds of tokens (`enum llama_token_type`).
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Byte,
}

struct Reader<'a> {
    gguf: &'a Gguf,
    subject: &'a str,
}

/// What the metadata says.
pub(super) fn read(gguf: &Gguf, subject: &str) -> Result<Found> {
    let reader = Reader { gguf, subject };
    let model = reader.value("model").and_then(|value| value.as_str().map(str::to_owned));
    match model.as_deref() {
        Some("gpt2") => reader.byte_level(),
        Some("llama") => reader.sentence_piece(),
        Some(other) => Err(reader.bad("tokenizer.ggml.model to be gpt2 (pairs of bytes) or llama (SentencePiece)", format!("{other:?}"))),
        None => Err(reader.bad("a tokenizer: tokenizer.ggml.model", "none")),
    }
}

impl<'a> Reader<'a> {
    fn bad(&self, expected: impl ToString, found: impl ToString) -> Error {
        Error::bad_input(self.subject, expected, found, HINT)
    }

    fn value(&self, key: &str) -> Option<Value<'a>> {
        self.gguf.value(&format!("tokenizer.ggml.{key}"))
    }

    fn is(&self, key: &str, default: bool) -> bool {
        match self.value(key) {
            Some(Value::Bool(is)) => is,
            _ => default,
        }
    }

    /// An array of `count` values, if there is one.
    fn array(&self, key: &str, count: usize) -> Result<Option<Array<'a>>> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Array(array)) if array.len() == count => Ok(Some(array)),
            Some(other) => {
                let found = other.as_array().map_or_else(|| other.kind().to_string(), |array| format!("{} values", array.len()));
                Err(self.bad(format!("tokenizer.ggml.{key} to have {count} values, one a token"), found))
            }
        }
    }

    fn strings(&self, key: &str) -> Result<Vec<String>> {
        let array = self.gguf.array(&format!("tokenizer.ggml.{key}"))?;
        if array.len() > 4 * MOST_TOKENS {
            return Err(self.bad(format!("tokenizer.ggml.{key} of at most {} values", 4 * MOST_TOKENS), array.len()));
        }
        let strings = array.strings().map(|strings| strings.map(|text| text.into_owned()).collect());
        strings.ok_or_else(|| self.bad(format!("tokenizer.ggml.{key} to be strings"), format!("an array of {}", array.kind())))
    }

    /// The names of all tokens, each once.
    fn tokens(&self) -> Result<Vec<String>> {
        let mut tokens = self.strings("tokens")?;
        if !(1..=MOST_TOKENS).contains(&tokens.len()) {
            return Err(self.bad(format!("1 to {MOST_TOKENS} tokens"), tokens.len()));
        }
        for (i, token) in tokens.iter_mut().enumerate().filter(|(_, token)| token.is_empty()) {
            *token = format!("[EMPTY_{i}]");
        }
        let mut seen = FxHashSet::default();
        match tokens.iter().find(|token| !seen.insert(token.as_str())) {
            Some(twice) => Err(self.bad("every token once", format!("{twice:?} twice"))),
            None => Ok(tokens),
        }
    }

    /// What kind each is. Some files call a token that ends texts a normal one: it is none, unless it is merged of others, as `</s>` is in models of code.
    fn kinds(&self, tokens: &[String], merges: &[(String, String)]) -> Result<Vec<Kind>> {
        let numbers = self.array("token_type", tokens.len())?;
        let mut kinds: Vec<Kind> = match &numbers {
            None => vec![Kind::Normal; tokens.len()],
            Some(numbers) => numbers
                .iter()
                .map(|number| match number.as_u64() {
                    Some(2) => Kind::Unknown,
                    Some(3) => Kind::Control,
                    Some(4) => Kind::UserDefined,
                    Some(6) => Kind::Byte,
                    _ => Kind::Normal,
                })
                .collect(),
        };
        for (kind, token) in kinds.iter_mut().zip(tokens) {
            let is_merged = || merges.iter().any(|(left, right)| token.strip_prefix(left) == Some(right));
            if STOPS.contains(&token.as_str()) && !is_merged() {
                *kind = Kind::Control;
            }
        }
        Ok(kinds)
    }

    /// The number of a token with a role.
    fn id(&self, key: &str, count: usize) -> Result<Option<u32>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok()).filter(|&id| (id as usize) < count);
        match id {
            Some(id) => Ok(Some(id)),
            None => Err(self.bad(format!("tokenizer.ggml.{key} to be a token, so below {count}"), value)),
        }
    }

    fn found(&self, tokens: &[String], kinds: &[Kind], pieces: Pieces, defaults: [Option<u32>; 2], adds_first: bool) -> Result<Found> {
        let count = tokens.len();
        let role = |key, default: Option<u32>| Ok::<_, Error>(self.id(key, count)?.or(default.filter(|&id| (id as usize) < count)));
        let [first, last] = [role("bos_token_id", defaults[0])?, role("eos_token_id", defaults[1])?];
        let is_stop = |token: &str, kind| STOPS.contains(&token) && kind == Kind::Control;
        let named = tokens.iter().zip(kinds).zip(0..).filter(|((token, kind), _)| is_stop(token, **kind)).map(|(_, id)| id);
        let mut stops: Vec<u32> = named.chain(last).chain(role("eot_token_id", None)?).chain(role("eom_token_id", None)?).collect();
        // Where both are there, `<|end|>` ends a thought and not the answer (OpenAI's harmony format).
        let by_name = |name: &str| tokens.iter().position(|token| token == name);
        if let (Some(_), Some(_), Some(end)) = (by_name("<|return|>"), by_name("<|call|>"), by_name("<|end|>")) {
            stops.retain(|&id| id as usize != end);
        }
        let is_by_rank = matches!(pieces, Pieces::ByRank(_));
        let texts = tokens.iter().zip(kinds).map(|(token, kind)| match kind {
            Kind::Normal if is_by_rank => from_byte_level(token),
            Kind::Normal => token.replace(SPACE, " ").into_bytes(),
            Kind::Byte => named_byte(token).map_or_else(|| token.clone().into_bytes(), |byte| vec![byte]),
            _ => token.clone().into_bytes(),
        });
        let added = tokens.iter().zip(kinds).zip(0..).filter_map(|((token, kind), id)| match kind {
            Kind::Control | Kind::Unknown => Some(AddedToken::new(id, token.clone(), true)),
            Kind::UserDefined => Some(AddedToken::new(id, token.clone(), false)),
            _ => None,
        });
        Ok(Found {
            texts: texts.collect(),
            added: added.collect(),
            first,
            adds_first: self.is("add_bos_token", adds_first),
            last,
            stops,
            adds_space: matches!(&pieces, Pieces::ByScore(pieces) if pieces.adds_space),
            hash: self.hash(tokens, kinds),
            pieces,
        })
    }

    /// Of all that tokens depend on.
    fn hash(&self, tokens: &[String], kinds: &[Kind]) -> u64 {
        let mut hash = Xxh3::new();
        let mut part = |text: &str| {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        for (token, kind) in tokens.iter().zip(kinds) {
            part(token);
            part(&(*kind as u8).to_string());
        }
        for key in ["model", "pre", "add_space_prefix"] {
            part(&self.value(key).map_or(String::new(), |value| value.to_string()));
        }
        for key in ["merges", "scores"] {
            if let Some(Value::Array(array)) = self.value(key) {
                array.iter().for_each(|value| part(&value.to_string()));
            }
        }
        hash.finish()
    }

    /// Pairs of tokens, the first to be merged first.
    fn merges(&self) -> Result<Vec<(String, String)>> {
        let merges = self.strings("merges")?.into_iter().map(|merge| {
            let gap = merge.char_indices().skip(1).find(|&(_, c)| c == ' ');
            let bad = || self.bad("merges of two tokens with a space between them", format!("{merge:?}"));
            gap.map(|(gap, _)| (merge[..gap].to_owned(), merge[gap + 1..].to_owned())).ok_or_else(bad)
        });
        merges.collect()
    }

    fn byte_level(&self) -> Result<Found> {
        let tokens = self.tokens()?;
        let mut merges = self.merges()?;
        let kinds = self.kinds(&tokens, &merges)?;
        let name = self.value("pre").and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_else(|| "default".into());
        let pre_tokenizer = pre_tokenizers::by_name(&name).ok_or_else(|| {
            let found = format!("{name:?}, which is not known here");
            self.bad(format!("tokenizer.ggml.pre to be one of {}", pre_tokenizers::names()), found)
        })?;
        let is_text = |kind: &Kind| !matches!(kind, Kind::Control | Kind::Unknown);
        let vocab: Vocab =
            tokens.iter().zip(&kinds).zip(0..).filter(|((_, kind), _)| is_text(kind)).map(|((token, _), id)| (token.clone(), id)).collect();
        if !vocab.contains_key(NO_MERGE[1]) {
            merges.retain(|(left, right)| format!("{left} {right}") != NO_MERGE[0]);
        }
        let model = BPE::builder().vocab_and_merges(vocab, merges).ignore_merges(pre_tokenizer.ignores_merges).build();
        let model = model.map_err(|error| self.bad("merges of tokens into tokens", error))?;
        let pieces = Merging { normalizer: None, pre_tokenizer: Some(cutting(pre_tokenizer)), model };
        self.found(&tokens, &kinds, Pieces::ByRank(Box::new(pieces)), [None, None], pre_tokenizer.adds_first)
    }

    fn sentence_piece(&self) -> Result<Found> {
        let tokens = self.tokens()?;
        let kinds = self.kinds(&tokens, &[])?;
        let scores = self.array("scores", tokens.len())?.ok_or_else(|| self.bad("tokenizer.ggml.scores, one a token", "none"))?;
        let number = |value: Value| value.as_f64().or(value.as_u64().map(|n| n as f64)).map(|score| score as f32);
        let scores = scores.iter().map(number).collect::<Option<Vec<f32>>>();
        let mut bytes = [None; 256];
        let mut ids = FxHashMap::default();
        for ((token, kind), id) in tokens.iter().zip(&kinds).zip(0u32..) {
            match kind {
                Kind::Byte => named_byte(token).into_iter().for_each(|byte| bytes[usize::from(byte)] = Some(id)),
                Kind::Normal | Kind::UserDefined => _ = ids.insert(token.clone(), id),
                _ => {}
            }
        }
        let pieces = SentencePiece {
            ids,
            scores: scores.ok_or_else(|| self.bad("tokenizer.ggml.scores to be numbers", "something else"))?,
            bytes,
            unknown: self
                .id("unknown_token_id", tokens.len())?
                .or_else(|| kinds.iter().position(|&kind| kind == Kind::Unknown).map(|id| id as u32)),
            adds_space: self.is("add_space_prefix", true),
        };
        self.found(&tokens, &kinds, Pieces::ByScore(Box::new(pieces)), [Some(1), Some(2)], true)
    }
}

/// Cuts as these expressions say, and writes bytes as characters.
fn cutting(rules: &PreTokenizer) -> PreTokenizerWrapper {
    let splits = rules.expressions.iter().map(|expression| {
        let split = Split::new(SplitPattern::Regex(expression.to_string()), SplitDelimiterBehavior::Isolated, false);
        PreTokenizerWrapper::Split(split.expect("an expression that a test compiles"))
    });
    let bytes = PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, false, false));
    PreTokenizerWrapper::Sequence(Sequence::new(splits.chain([bytes]).collect()))
}
