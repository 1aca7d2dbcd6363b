//! A tokenizer from `tokenizer.json` and the configurations beside it, as Hugging Face has them.

use std::collections::{BTreeMap, HashMap};

use primal_engine::config::MOST_TOKENS;
use serde::Deserialize;
use serde_json::Value;
use tokenizers::models::bpe::{BPE, Vocab};
use xxhash_rust::xxh3::Xxh3;

use super::added::AddedToken;
use super::merging::Merging;
use super::model_files::ModelFiles;
use super::sentence_piece::SPACE;
use super::stored::{Found, HINT, Pieces, from_byte_level, named_byte};
use crate::{Error, Result};

const FILE: &str = "tokenizer.json";
const CONFIGURATION: &str = "tokenizer_config.json";
/// What may change text before it is cut, and what may cut it. Others are of other models, and some of them end the program where a file is damaged.
const NORMALIZERS: [&str; 9] = ["Sequence", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "Prepend", "Replace"];
const PRE_TOKENIZERS: [&str; 9] =
    ["Sequence", "ByteLevel", "Split", "Digits", "Metaspace", "Whitespace", "WhitespaceSplit", "Punctuation", "UnicodeScripts"];
/// Bytes of a text that a normalizer puts into another one.
const MOST_PUT: usize = 64;

/// What kind of model a file has; other kinds have other keys.
#[derive(Deserialize)]
struct Kind {
    model: KindOf,
}

#[derive(Deserialize)]
struct KindOf {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    model: Pairs,
}

/// A vocabulary of merged pairs.
#[derive(Deserialize)]
struct Pairs {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Two(String, String),
    Joined(String),
}

#[derive(Deserialize)]
struct Added {
    #[serde(default)]
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
}

/// Of `tokenizer_config.json`, as far as it counts here.
#[derive(Default, Deserialize)]
struct Configuration {
    add_bos_token: Option<bool>,
    #[serde(default)]
    bos_token: Value,
    #[serde(default)]
    eos_token: Value,
    #[serde(default)]
    added_tokens_decoder: BTreeMap<String, Added>,
    #[serde(default)]
    chat_template: Value,
}

/// A token of a configuration: its name, or an object that has it.
fn name_of(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

fn parse<T: for<'a> Deserialize<'a>>(files: &ModelFiles, name: &str, expected: &str) -> Result<Option<T>> {
    let Some(text) = files.text(name) else { return Ok(None) };
    let bad = |error| Error::bad_input(format!("{}: {name}", files.subject), expected, format!("something else: {error}"), HINT);
    serde_json::from_str(text).map(Some).map_err(bad)
}

/// The template in `tokenizer_config.json`: one, or of several the one that is called `default`.
pub(super) fn chat_template(files: &ModelFiles) -> Result<Option<String>> {
    let configuration: Configuration = parse(files, CONFIGURATION, "the configuration of a tokenizer")?.unwrap_or_default();
    let of = |value: &Value| value.as_str().map(str::to_owned);
    Ok(match &configuration.chat_template {
        Value::Array(several) => several.iter().find(|one| one["name"] == "default").and_then(|one| of(&one["template"])),
        one => of(one),
    })
}

/// What the files say.
pub(super) fn read(files: &ModelFiles) -> Result<Found> {
    let reader = Reader { files };
    let Kind { model: KindOf { kind } } = reader.parse()?;
    if let Some(kind) = kind.filter(|kind| kind != "BPE") {
        return Err(reader.bad("merged pairs, so a model of type BPE", format!("{kind:?}")));
    }
    reader.read(reader.parse()?)
}

struct Reader<'a> {
    files: &'a ModelFiles,
}

impl Reader<'_> {
    fn bad(&self, expected: impl ToString, found: impl ToString) -> Error {
        Error::bad_input(format!("{}: {FILE}", self.files.subject), expected, found, HINT)
    }

    fn parse<T: for<'a> Deserialize<'a>>(&self) -> Result<T> {
        let parsed = parse(self.files, FILE, "a tokenizer")?;
        parsed.ok_or_else(|| self.bad("a tokenizer", "none"))
    }

    fn read(&self, file: File) -> Result<Found> {
        let configuration: Configuration = parse(self.files, CONFIGURATION, "the configuration of a tokenizer")?.unwrap_or_default();
        self.require_known(&file.normalizer, &NORMALIZERS, "normalizer")?;
        self.require_known(&file.pre_tokenizer, &PRE_TOKENIZERS, "pre-tokenizer")?;
        let added = added(file.added_tokens, configuration.added_tokens_decoder);
        let is_byte_level = has_type(&file.pre_tokenizer, "ByteLevel") || has_type(&file.decoder, "ByteLevel");
        let texts = self.texts(&file.model, &added, is_byte_level)?;
        let [first, last] = [&configuration.bos_token, &configuration.eos_token].map(|token| {
            let name = name_of(token)?;
            added.iter().find(|token| token.name == name).map(|token| token.id).or_else(|| file.model.vocab.get(name).copied())
        });
        // transformers writes the token before texts into the post-processor, and says so in the configuration of later models.
        let processed =
            before_texts(&file.post_processor).and_then(|name| added.iter().find(|token| token.name == name)).map(|token| token.id);
        let adds_first = configuration.add_bos_token.unwrap_or(processed.is_some());
        let part = |value: Value, of: &str| self.part(value, of);
        let adds_space = has_type(&file.normalizer, "Prepend")
            || has_type(&file.pre_tokenizer, "Metaspace")
            || any_object(&file.pre_tokenizer, &|object| object.get("add_prefix_space") == Some(&Value::Bool(true)));
        let pieces = Merging {
            normalizer: part(file.normalizer, "normalizer")?
                .map(serde_json::from_value)
                .transpose()
                .map_err(|e| self.bad("a normalizer", e))?,
            pre_tokenizer: part(file.pre_tokenizer, "pre-tokenizer")?
                .map(serde_json::from_value)
                .transpose()
                .map_err(|e| self.bad("a pre-tokenizer", e))?,
            model: self.model(file.model)?,
        };
        Ok(Found {
            pieces: Pieces::ByRank(Box::new(pieces)),
            texts,
            added,
            first: first.or(processed),
            adds_first,
            last,
            stops: self.stops(last)?,
            adds_space,
            hash: self.hash(),
        })
    }

    /// A part of the file that may be null.
    fn part(&self, value: Value, of: &str) -> Result<Option<Value>> {
        match value {
            Value::Null => Ok(None),
            Value::Object(_) => Ok(Some(value)),
            other => Err(self.bad(format!("a {of}"), other)),
        }
    }

    fn require_known(&self, part: &Value, known: &[&str], of: &str) -> Result<()> {
        let mut unknown = None;
        visit(part, &mut |object| {
            let long = ["content", "prepend", "replacement"]
                .iter()
                .filter_map(|key| object.get(*key)?.as_str())
                .find(|text| text.len() > MOST_PUT);
            let kind = object.get("type").and_then(Value::as_str).filter(|kind| !known.contains(kind));
            unknown = unknown
                .take()
                .or(kind.map(|kind| format!("{kind:?}")))
                .or(long.map(|text| format!("one that writes {} bytes", text.len())));
        });
        unknown.map_or(Ok(()), |found| Err(self.bad(format!("a {of} of {}", known.join(", ")), found)))
    }

    fn texts(&self, pairs: &Pairs, added: &[AddedToken], is_byte_level: bool) -> Result<Vec<Vec<u8>>> {
        let largest = pairs.vocab.values().copied().chain(added.iter().map(|token| token.id)).max();
        let count = largest.map_or(0, |largest| largest as usize + 1);
        if !(1..=MOST_TOKENS).contains(&count) {
            return Err(self.bad(format!("1 to {MOST_TOKENS} tokens"), format!("numbers of tokens up to {}", count.saturating_sub(1))));
        }
        let mut texts: Vec<Option<Vec<u8>>> = vec![None; count];
        for (token, &id) in &pairs.vocab {
            let byte = pairs.byte_fallback.then(|| named_byte(token)).flatten();
            let text = match byte {
                Some(byte) => vec![byte],
                None if is_byte_level => from_byte_level(token),
                None => token.replace(SPACE, " ").into_bytes(),
            };
            if texts[id as usize].replace(text).is_some() {
                return Err(self.bad("every number of a token once", format!("{id} twice")));
            }
        }
        for token in added {
            texts[token.id as usize] = Some(token.name.clone().into_bytes());
        }
        Ok(texts.into_iter().map(Option::unwrap_or_default).collect())
    }

    fn model(&self, pairs: Pairs) -> Result<BPE> {
        if let Some(mark) =
            [&pairs.continuing_subword_prefix, &pairs.end_of_word_suffix].into_iter().flatten().find(|mark| !mark.is_empty())
        {
            return Err(self.bad("tokens without marks for parts of words", format!("the mark {mark:?}")));
        }
        if let Some(unknown) = pairs.unk_token.as_ref().filter(|token| !pairs.vocab.contains_key(*token)) {
            return Err(self.bad("an unknown token of the vocabulary", format!("{unknown:?}")));
        }
        let mut merges = Vec::with_capacity(pairs.merges.len());
        for merge in pairs.merges {
            merges.push(match merge {
                Merge::Two(left, right) => (left, right),
                Merge::Joined(both) => match both.split_once(' ') {
                    Some((left, right)) if !left.is_empty() => (left.into(), right.into()),
                    _ => return Err(self.bad("merges of two tokens with a space between them", format!("{both:?}"))),
                },
            });
        }
        let vocab: Vocab = pairs.vocab.into_iter().collect();
        let mut builder = BPE::builder()
            .vocab_and_merges(vocab, merges)
            .fuse_unk(pairs.fuse_unk)
            .byte_fallback(pairs.byte_fallback)
            .ignore_merges(pairs.ignore_merges);
        if let Some(unknown) = pairs.unk_token {
            builder = builder.unk_token(unknown);
        }
        builder.build().map_err(|error| self.bad("merges of tokens into tokens", error))
    }

    /// The tokens that end a text: those of `generation_config.json`, else of `config.json`, and the one that the tokenizer ends texts with.
    fn stops(&self, last: Option<u32>) -> Result<Vec<u32>> {
        #[derive(Default, Deserialize)]
        struct Ends {
            #[serde(default)]
            eos_token_id: Value,
        }
        let mut stops: Vec<u32> = last.into_iter().collect();
        for name in ["generation_config.json", "config.json"] {
            let Ends { eos_token_id: value } = parse(self.files, name, "a configuration")?.unwrap_or_default();
            let several = match &value {
                Value::Null => continue,
                Value::Array(several) => &several[..],
                one => std::slice::from_ref(one),
            };
            for one in several {
                let id = one.as_u64().and_then(|id| u32::try_from(id).ok());
                let subject = format!("{}: {name}", self.files.subject);
                stops.push(id.ok_or_else(|| Error::bad_input(subject, "eos_token_id to be one token or several", one, HINT))?);
            }
            break;
        }
        Ok(stops)
    }

    fn hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        for name in [FILE, CONFIGURATION] {
            let text = self.files.text(name).unwrap_or_default();
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        hash.digest()
    }
}

/// Those of the tokenizer, and of its configuration what it has besides.
fn added(tokens: Vec<Added>, more: BTreeMap<String, Added>) -> Vec<AddedToken> {
    let known: std::collections::HashSet<u32> = tokens.iter().map(|token| token.id).collect();
    let more = more.into_iter().filter_map(|(id, token)| Some(Added { id: id.parse().ok()?, ..token }));
    let all = tokens.into_iter().chain(more.filter(|token| !known.contains(&token.id))).filter(|token| !token.content.is_empty());
    all.map(|token| AddedToken {
        id: token.id,
        name: token.content,
        is_control: token.special,
        strips: [token.lstrip, token.rstrip],
        is_word: token.single_word,
    })
    .collect()
}

/// Calls `see` with every object in a part of the file.
fn visit<'a>(part: &'a Value, see: &mut dyn FnMut(&'a serde_json::Map<String, Value>)) {
    match part {
        Value::Array(parts) => parts.iter().for_each(|part| visit(part, see)),
        Value::Object(object) => {
            see(object);
            object.values().for_each(|part| visit(part, see));
        }
        _ => {}
    }
}

fn any_object(part: &Value, is: &dyn Fn(&serde_json::Map<String, Value>) -> bool) -> bool {
    let mut any = false;
    visit(part, &mut |object| any |= is(object));
    any
}

fn has_type(part: &Value, kind: &str) -> bool {
    any_object(part, &|object| object.get("type").and_then(Value::as_str) == Some(kind))
}

/// The token that a post-processor puts before a single text, by name.
fn before_texts(processor: &Value) -> Option<String> {
    let mut first = None;
    visit(processor, &mut |object| {
        let single = object.get("single").and_then(|single| single.get(0));
        let name = single.and_then(|piece| piece.get("SpecialToken")?.get("id")?.as_str());
        first = first.take().or(name.map(str::to_owned));
    });
    first
}
