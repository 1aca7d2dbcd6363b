//! Byte-level tokenizers as other programs keep them: the keys `tokenizer.ggml.…` of a GGUF file, and `tokenizer.json` with its configuration.

use std::collections::BTreeMap;

use primal_engine::files::gguf::{Array, Gguf, Value};
use serde_json::{Value as Json, json};

use super::codec::TextCodec;
use super::from_gguf::NO_MERGE;
use super::model_files::ModelFiles;
use super::pre_tokenizers::{self, PreTokenizer};
use crate::{Error, Result};

/// `enum llama_token_type`.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const HINT: &str = "export it in the format that it came in";

/// A tokenizer that merges pairs of bytes, in whatever way it is kept.
pub struct Exchanged {
    /// In the characters with which bytes are written (GPT-2's `bytes_to_unicode`), but for names of control tokens.
    tokens: Vec<String>,
    kinds: Vec<i32>,
    /// Two tokens with a space between them, the first to be merged first.
    merges: Vec<String>,
    /// How text is cut.
    cut: &'static PreTokenizer,
    /// The tokens that begin and end a text.
    ends: [Option<usize>; 2],
    /// Those that end what a model makes besides.
    stops: Vec<usize>,
    adds_first: bool,
    chat_template: Option<String>,
}

/// The name of a token that no text has, as llama.cpp's converter gives it.
fn pad(id: usize) -> String {
    format!("[PAD{id}]")
}

/// The characters of bytes.
fn written(bytes: &[u8]) -> String {
    let is_printed = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let other = |byte: u8| (0..byte).filter(|&before| !is_printed(before)).count() as u32;
    bytes
        .iter()
        .map(|&byte| if is_printed(byte) { char::from(byte) } else { char::from_u32(256 + other(byte)).expect("a letter") })
        .collect()
}

impl Exchanged {
    /// Of a tokenizer that is part of the program.
    ///
    /// # Panics
    /// If it came with a model.
    pub fn of_named(codec: &TextCodec) -> Self {
        assert!(codec.stored().is_none(), "a tokenizer of a model");
        let bytes: Vec<&[u8]> = (0..codec.vocab_size() as u32).map(|token| codec.token_bytes(token)).collect();
        let ranks: BTreeMap<&[u8], usize> = bytes.iter().enumerate().map(|(rank, &bytes)| (bytes, rank)).collect();
        // `<|endoftext|>` of GPT-2: no pair makes it.
        let last = (codec.vocab_size() == 50_257).then_some(50_256);
        let mut merges = Vec::new();
        for (rank, token) in bytes.iter().enumerate().filter(|(rank, bytes)| bytes.len() > 1 && Some(*rank) != last) {
            if let Some(at) = seam(token, rank, &ranks) {
                merges.push(format!("{} {}", written(&token[..at]), written(&token[at..])));
            }
        }
        let name =
            |(rank, bytes): (usize, &&[u8])| if Some(rank) == last { String::from_utf8_lossy(bytes).into_owned() } else { written(bytes) };
        Self {
            tokens: bytes.iter().enumerate().map(name).collect(),
            kinds: (0..bytes.len()).map(|rank| if Some(rank) == last { CONTROL } else { NORMAL }).collect(),
            merges,
            cut: pre_tokenizers::by_name("gpt-2").expect("a known name"),
            ends: [last, last],
            stops: Vec::new(),
            adds_first: false,
            chat_template: None,
        }
    }

    /// Of the metadata of a GGUF file.
    ///
    /// # Errors
    /// Bad input for one that does not merge pairs of bytes, or cuts text in a way that is not known.
    pub fn of_gguf(gguf: &Gguf, subject: &str) -> Result<Self> {
        let value = |key: &str| gguf.value(&format!("tokenizer.ggml.{key}"));
        let text = |key: &str| value(key).and_then(|value| value.as_str().map(str::to_owned));
        let bad = |expected: &str, found: String| Error::bad_input(subject, expected, found, HINT);
        let model = text("model").unwrap_or_default();
        if model != "gpt2" {
            return Err(bad("a tokenizer that merges pairs of bytes (gpt2)", format!("{model:?}")));
        }
        let strings = |key: &str| -> Result<Vec<String>> {
            let array = gguf.array(&format!("tokenizer.ggml.{key}"))?;
            let strings = array.strings().map(|strings| strings.map(|text| text.into_owned()).collect());
            strings.ok_or_else(|| bad("strings", format!("tokenizer.ggml.{key} of {}", array.kind())))
        };
        let tokens = strings("tokens")?;
        let kinds = match value("token_type") {
            Some(Value::Array(array)) if array.len() == tokens.len() => {
                array.iter().map(|kind| kind.as_u64().map_or(NORMAL, |kind| kind as i32)).collect()
            }
            _ => vec![NORMAL; tokens.len()],
        };
        let pre = text("pre").unwrap_or_else(|| "default".into());
        let cut = pre_tokenizers::by_name(&pre).ok_or_else(|| bad("a known way to cut text (tokenizer.ggml.pre)", format!("{pre:?}")))?;
        let id = |key: &str| value(key)?.as_u64().map(|id| id as usize).filter(|&id| id < tokens.len());
        let flag = |key: &str| if let Some(Value::Bool(flag)) = value(key) { Some(flag) } else { None };
        let (ends, adds_first) = ([id("bos_token_id"), id("eos_token_id")], flag("add_bos_token").unwrap_or(cut.adds_first));
        let (mut merges, chat_template) = (strings("merges")?, gguf.value("tokenizer.chat_template"));
        if !tokens.iter().any(|token| token == NO_MERGE[1]) {
            merges.retain(|merge| merge != NO_MERGE[0]);
        }
        let chat_template = chat_template.and_then(|template| template.as_str().map(str::to_owned));
        Ok(Self { kinds, merges, cut, ends, stops: Vec::new(), adds_first, chat_template, tokens })
    }

    /// Of `tokenizer.json` of a model of `vocab` tokens.
    ///
    /// # Errors
    /// Bad input for one that does not merge pairs of bytes, or cuts text in a way that llama.cpp has no name for.
    pub fn of_files(files: &ModelFiles, vocab: usize) -> Result<Self> {
        let bad = |expected: &str, found: String| Error::bad_input(format!("{}: tokenizer.json", files.subject), expected, found, HINT);
        let parse = |name: &str| -> Result<Json> {
            let text = files.text(name).unwrap_or("{}");
            serde_json::from_str(text).map_err(|error| Error::bad_input(format!("{}: {name}", files.subject), "JSON", error, HINT))
        };
        let [file, config, model_config] = [parse("tokenizer.json")?, parse("tokenizer_config.json")?, parse("config.json")?];
        let cuts = expressions(&file["pre_tokenizer"]);
        let Some(cuts) = cuts.filter(|_| file["pre_tokenizer"].to_string().contains("ByteLevel")) else {
            return Err(bad("a tokenizer that merges pairs of bytes, whose text is cut by expressions", file["pre_tokenizer"].to_string()));
        };
        let cut = pre_tokenizers::by_expressions(&cuts, file["model"]["ignore_merges"] == true);
        let cut = cut.ok_or_else(|| bad("a way to cut text that llama.cpp has a name for", format!("{cuts:?}")))?;
        let mut tokens: Vec<String> = (0..vocab).map(pad).collect();
        let mut kinds = vec![UNUSED; vocab];
        let ids = file["model"]["vocab"].as_object().into_iter().flatten().filter_map(|(token, id)| Some((token, id.as_u64()?, NORMAL)));
        let added = file["added_tokens"].as_array().into_iter().flatten().filter_map(|token| {
            let kind = if token["special"] == true { CONTROL } else { USER_DEFINED };
            Some((token["content"].as_str()?.to_owned(), token["id"].as_u64()?, kind))
        });
        for (token, id, kind) in ids.map(|(token, id, kind)| (token.clone(), id, kind)).chain(added) {
            let id = usize::try_from(id).ok().filter(|&id| id < vocab);
            let id = id.ok_or_else(|| bad("numbers of tokens below the model's vocabulary", format!("{token:?} beyond {vocab}")))?;
            (tokens[id], kinds[id]) = (token, kind);
        }
        let merges = file["model"]["merges"].as_array().into_iter().flatten().filter_map(|merge| match merge {
            Json::Array(two) => Some(format!("{} {}", two.first()?.as_str()?, two.get(1)?.as_str()?)),
            other => other.as_str().map(str::to_owned),
        });
        let merges: Vec<String> = merges.collect();
        let end = |key: &str| {
            let named = config[key].as_str().or_else(|| config[key]["content"].as_str());
            let by_name = named.and_then(|name| tokens.iter().position(|token| token == name));
            by_name.or_else(|| model_config[format!("{key}_id")].as_u64().map(|id| id as usize).filter(|&id| id < vocab))
        };
        let ends = ["bos_token", "eos_token"].map(end);
        // What puts a token first says so after it has cut the text, in older files by a flag.
        let processor = file["post_processor"].to_string();
        let adds_first = config["add_bos_token"].as_bool().unwrap_or(processor.contains("SpecialToken") && ends[0].is_some());
        Ok(Self { tokens, kinds, merges, cut, ends, stops: Vec::new(), adds_first, chat_template: files.chat_template()? })
    }

    /// With all tokens that end what a model makes, of which one ends texts.
    pub fn with_stops(mut self, stops: &[u32]) -> Self {
        let stops = stops.iter().map(|&stop| stop as usize).filter(|&stop| stop < self.tokens.len() && Some(stop) != self.ends[1]);
        self.stops = stops.collect();
        self
    }

    /// With tokens that no text has, as many as a table of `rows` embeddings has more.
    pub fn padded(mut self, rows: usize) -> Self {
        for id in self.tokens.len()..rows {
            self.tokens.push(pad(id));
            self.kinds.push(UNUSED);
        }
        self
    }

    /// The keys of a GGUF file.
    pub fn to_gguf(&self) -> Vec<(String, Value<'static>)> {
        let no_merge = [NO_MERGE[0].to_owned()];
        let merges = if self.merges.is_empty() { &no_merge[..] } else { &self.merges };
        let mut keys = vec![
            ("tokenizer.ggml.model", Value::string("gpt2")),
            ("tokenizer.ggml.pre", Value::string(self.cut.name())),
            ("tokenizer.ggml.tokens", Value::Array(Array::of_strings(&self.tokens))),
            ("tokenizer.ggml.token_type", Value::Array(Array::of_i32(self.kinds.iter().copied()))),
            ("tokenizer.ggml.merges", Value::Array(Array::of_strings(merges))),
            ("tokenizer.ggml.add_bos_token", Value::Bool(self.adds_first)),
        ];
        for (key, id) in ["tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"].into_iter().zip(self.ends) {
            keys.extend(id.map(|id| (key, Value::U32(id as u32))));
        }
        let others = ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"].into_iter().zip(&self.stops);
        keys.extend(others.map(|(key, &id)| (key, Value::U32(id as u32))));
        keys.extend(self.chat_template.clone().map(|template| ("tokenizer.chat_template", Value::string(template))));
        keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// `tokenizer.json` and `tokenizer_config.json`.
    pub fn to_files(&self) -> Vec<(String, Vec<u8>)> {
        let named = self.tokens.iter().zip(&self.kinds).enumerate();
        // Added tokens, too: the library `tokenizers` numbers those that are not there anew, whatever their `id` says.
        let vocab: serde_json::Map<String, Json> =
            named.clone().filter(|(_, (_, kind))| **kind != UNUSED).map(|(id, (token, _))| (token.clone(), id.into())).collect();
        let added = named.filter(|(_, (_, kind))| ![NORMAL, UNUSED].contains(kind)).map(|(id, (token, kind))| {
            json!({"id": id, "content": token, "special": *kind == CONTROL, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
        });
        let split = |expression: &&str| json!({"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": false});
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
        let cuts: Vec<Json> = self.cut.expressions.iter().map(split).chain([bytes.clone()]).collect();
        let first = self.ends[0].filter(|_| self.adds_first).map(|id| (&self.tokens[id], id));
        let processor = first.map_or(Json::Null, |(token, id)| {
            let sequence = |name: &str| json!({"Sequence": {"id": name, "type_id": 0}});
            let special = json!({"SpecialToken": {"id": token, "type_id": 0}});
            json!({
                "type": "TemplateProcessing", "single": [special, sequence("A")], "pair": [special, sequence("A"), sequence("B")],
                "special_tokens": {token.as_str(): {"id": token, "ids": [id], "tokens": [token]}}
            })
        });
        let file = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added.collect::<Vec<_>>(), "normalizer": null,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": cuts}, "post_processor": processor, "decoder": bytes,
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
                "byte_fallback": false, "ignore_merges": self.cut.ignores_merges, "vocab": vocab, "merges": self.merges
            }
        });
        let name = |id: Option<usize>| id.map_or(Json::Null, |id| self.tokens[id].as_str().into());
        let mut config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": name(self.ends[0]), "eos_token": name(self.ends[1]),
            "add_bos_token": self.adds_first, "clean_up_tokenization_spaces": false
        });
        if let Some(template) = &self.chat_template {
            config["chat_template"] = template.as_str().into();
        }
        // Where texts end when they are made.
        let ends = ["bos_token_id", "eos_token_id"].into_iter().zip(self.ends).filter_map(|(key, id)| Some((key, id?)));
        let mut ends: BTreeMap<_, Json> = ends.map(|(key, id)| (key, id.into())).collect();
        if !self.stops.is_empty() {
            let all: Vec<usize> = self.ends[1].into_iter().chain(self.stops.iter().copied()).collect();
            ends.insert("eos_token_id", all.into());
        }
        let mut files = vec![("tokenizer.json", file), ("tokenizer_config.json", config)];
        if !ends.is_empty() {
            files.push(("generation_config.json", json!(ends)));
        }
        files.into_iter().map(|(name, json)| (name.to_owned(), json.to_string().into_bytes())).collect()
    }
}

/// Where the last merge of a token was: its bytes are merged by lower ranks until two parts are left.
fn seam(token: &[u8], rank: usize, ranks: &BTreeMap<&[u8], usize>) -> Option<usize> {
    // Where parts begin, and the end.
    let mut cuts: Vec<usize> = (0..=token.len()).collect();
    while cuts.len() > 3 {
        let pair = |i: &usize| ranks.get(&token[cuts[*i]..cuts[i + 2]]).copied().filter(|&other| other < rank);
        let next = (0..cuts.len() - 2).filter_map(|i| Some((pair(&i)?, i))).min()?;
        cuts.remove(next.1 + 1);
    }
    Some(cuts[1])
}

/// The expressions by which a pre-tokenizer cuts text.
fn expressions(pre_tokenizer: &Json) -> Option<Vec<String>> {
    match pre_tokenizer["type"].as_str()? {
        "Sequence" => {
            let all = pre_tokenizer["pretokenizers"].as_array()?.iter().map(expressions).collect::<Option<Vec<_>>>()?;
            Some(all.concat())
        }
        "Split" => {
            let pattern = pre_tokenizer["pattern"].get("Regex")?.as_str()?;
            let is_usual = pre_tokenizer["behavior"] == "Isolated" && pre_tokenizer["invert"] != true;
            is_usual.then(|| vec![pattern.to_owned()])
        }
        "Digits" => (pre_tokenizer["individual_digits"] == true).then(|| vec![r"\p{N}".to_owned()]),
        "ByteLevel" if pre_tokenizer["add_prefix_space"] == true => None,
        "ByteLevel" if pre_tokenizer["use_regex"] == false => Some(Vec::new()),
        "ByteLevel" => Some(vec![pre_tokenizers::GPT2.to_owned()]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use primal_engine::config::Tokenizer;
    use primal_engine::files::gguf::encode;

    use super::*;

    const TEXT: &str = "Once upon a time, 1234 ghosts didn't sing:\n\n  \u{00e9}\u{4e2d} <|endoftext|> naïve…\t!";

    /// Control tokens keep their numbers wherever they stand in the vocabulary.
    #[test]
    fn other_programs_read_the_same_numbers() {
        let mut ours = Exchanged::of_named(&TextCodec::named(Tokenizer::Bytes).unwrap());
        for (at, (name, kind)) in [("<|im_start|>", CONTROL), ("<think>", USER_DEFINED), ("<|im_end|>", CONTROL)].into_iter().enumerate() {
            ours.tokens.insert(at, name.into());
            ours.kinds.insert(at, kind);
        }
        (ours.ends, ours.merges) = ([Some(0), Some(2)], Vec::new());
        let files = ours.padded(300).to_files();
        let theirs = tokenizers::Tokenizer::from_bytes(&files[0].1).unwrap();
        let numbers = theirs.encode("<|im_start|>a<think>b<|im_end|>", false).unwrap();
        let byte = |byte: u8| u32::from(byte) + 3;
        assert_eq!(numbers.get_ids(), [0, byte(b'a'), 1, byte(b'b'), 2]);
        assert_eq!(theirs.get_vocab_size(true), 259, "tokens beyond those that there are");
    }

    /// What is written is read with the same tokens, in both formats.
    #[test]
    fn tokens_stay_what_they_are() {
        for tokenizer in Tokenizer::ALL {
            let codec = TextCodec::named(tokenizer).unwrap();
            let (ours, vocab) = (Exchanged::of_named(&codec), codec.vocab_size());
            let gguf = Gguf::from_bytes("tokens.gguf", &encode(&ours.to_gguf(), &[]).unwrap()).unwrap();
            let files = ours.to_files();
            let ends = files.iter().find(|(name, _)| name == "generation_config.json").map(|(_, bytes)| bytes.clone());
            let gpt2 = (vocab == 50_257).then(|| br#"{"bos_token_id":50256,"eos_token_id":50256}"#.to_vec());
            assert_eq!(ends, gpt2, "{}", tokenizer.name());
            let folder = tempfile::tempdir().unwrap();
            files.iter().for_each(|(name, bytes)| std::fs::write(folder.path().join(name), bytes).unwrap());
            let beside = ModelFiles::beside(folder.path()).unwrap();
            let expected = codec.encode(TEXT);
            for stored in [ModelFiles::of_gguf(gguf.clone()).tokenizer(vocab), beside.tokenizer(vocab)] {
                let stored = stored.unwrap();
                assert_eq!(stored.encode(TEXT, true), expected, "{}", tokenizer.name());
                assert!((0..vocab).all(|token| stored.token_bytes(token) == codec.token_bytes(token as u32)), "{}", tokenizer.name());
            }
            // From either format into the other.
            assert_eq!(Exchanged::of_gguf(&gguf, "x").unwrap().to_files(), files, "{}", tokenizer.name());
            let again = Exchanged::of_files(&beside, vocab).unwrap();
            assert_eq!((again.tokens, again.kinds, again.ends), (ours.tokens, ours.kinds, ours.ends), "{}", tokenizer.name());
        }
    }
}
