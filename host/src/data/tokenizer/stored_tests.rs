//! Stored tokenizers, from tiny files that the tests make.

use std::borrow::Cow;

use primal_engine::files::gguf::{self, Array, Gguf, Value};
use proptest::prelude::*;
use serde_json::json;

use super::model_files::ModelFiles;
use super::pre_tokenizers;
use super::stored::{StoredTokenizer, from_byte_level};
use crate::{Error, Result};

/// The characters that stand for bytes, by byte.
fn alphabet() -> Vec<String> {
    let mut alphabet = vec![String::new(); 256];
    for c in ('!'..='\u{143}').map(String::from) {
        if let [byte] = from_byte_level(&c)[..]
            && c.chars().all(|c| c as u32 != 0xAD)
        {
            alphabet[usize::from(byte)] = c;
        }
    }
    alphabet
}

const CONTROLS: [&str; 3] = ["<|bos|>", "<|im_start|>", "<|im_end|>"];
const MERGES: [&str; 7] = ["h e", "l l", "he ll", "hell o", "Ġ w", "Ġ Ġ", "1 2"];
const TOOL: &str = "<tool>";
/// Controls, a token that is none, bytes, and what is merged.
const COUNT: usize = 3 + 1 + 256 + 7;

type Entry = (&'static str, Value<'static>);

/// The metadata of a byte-level vocabulary.
fn byte_level() -> Vec<Entry> {
    let merged = MERGES.map(|merge| merge.replace(' ', ""));
    let tokens: Vec<String> = CONTROLS.iter().map(|name| name.to_string()).chain([TOOL.into()]).chain(alphabet()).chain(merged).collect();
    let kinds = (0..COUNT).map(|id| {
        if id < 3 {
            3
        } else if id == 3 {
            4
        } else {
            1
        }
    });
    vec![
        ("tokenizer.ggml.model", Value::string("gpt2")),
        ("tokenizer.ggml.pre", Value::string("gpt-2")),
        ("tokenizer.ggml.tokens", Value::Array(Array::of_strings(tokens))),
        ("tokenizer.ggml.token_type", Value::Array(Array::of_i32(kinds))),
        ("tokenizer.ggml.merges", Value::Array(Array::of_strings(MERGES))),
        ("tokenizer.ggml.bos_token_id", Value::U32(0)),
        ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ("tokenizer.ggml.add_bos_token", Value::Bool(true)),
        ("tokenizer.chat_template", Value::string("{{ messages[0].content }}")),
    ]
}

const PIECES: [&str; 10] = ["<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "▁ab", "</", "s"];

fn sentence_piece() -> Vec<Entry> {
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let tokens = PIECES.map(str::to_owned).into_iter().chain(bytes);
    let kinds = [2, 3, 3, 1, 1, 1, 1, 1, 1, 1].into_iter().chain([6; 256]);
    vec![
        ("tokenizer.ggml.model", Value::string("llama")),
        ("tokenizer.ggml.tokens", Value::Array(Array::of_strings(tokens))),
        ("tokenizer.ggml.token_type", Value::Array(Array::of_i32(kinds))),
        ("tokenizer.ggml.scores", Value::Array(Array::of_f32((0..266).map(|id| -(id as f32))))),
    ]
}

fn with(mut entries: Vec<Entry>, key: &'static str, value: Option<Value<'static>>) -> Vec<Entry> {
    entries.retain(|(known, _)| *known != key);
    entries.extend(value.map(|value| (key, value)));
    entries
}

fn open(entries: &[Entry], vocab: usize) -> Result<StoredTokenizer> {
    let entries: Vec<(String, Value)> = entries.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
    let bytes = gguf::encode(&entries, &[]).unwrap();
    ModelFiles::of_gguf(Gguf::from_bytes("tiny.gguf", &bytes)?).tokenizer(vocab)
}

fn decode(tokenizer: &StoredTokenizer, tokens: &[u32]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|&token| tokenizer.token_bytes(token as usize)).copied().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The same vocabulary as [`byte_level`], as Hugging Face has it.
fn json() -> [(&'static str, serde_json::Value); 3] {
    let tokens = alphabet().into_iter().chain(MERGES.map(|merge| merge.replace(' ', "")));
    let vocab: serde_json::Map<_, _> = tokens.zip(4..).map(|(token, id)| (token, json!(id))).collect();
    let added = |id: usize, name: &str, special: bool| json!({"id": id, "content": name, "special": special, "lstrip": false, "rstrip": false, "normalized": false, "single_word": false});
    let names = CONTROLS.iter().enumerate().map(|(id, name)| added(id, name, true)).chain([added(3, TOOL, false)]);
    let processor = json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|bos|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": names.collect::<Vec<_>>(), "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": processor, "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": 0.5, "unk_token": null, "vocab": vocab, "merges": MERGES},
    });
    let configuration =
        json!({"bos_token": "<|bos|>", "eos_token": {"content": "<|im_end|>"}, "chat_template": "{{ messages[0].content }}"});
    [("tokenizer.json", tokenizer), ("tokenizer_config.json", configuration), ("generation_config.json", json!({"eos_token_id": [2, 1]}))]
}

fn open_json(files: &[(&'static str, serde_json::Value)]) -> Result<StoredTokenizer> {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in files {
        std::fs::write(folder.path().join(name), value.to_string()).unwrap();
    }
    ModelFiles::beside(folder.path())?.tokenizer(COUNT)
}

#[test]
fn every_expression_compiles_and_keeps_all_text() {
    let text = "I'M 12345 Hello  wörld!\r\n\n  ¿Qué?\t新しい 今日は 𝟘 e\u{301} _x_ \u{a0}… 'll don't +=<>| 1.5\n ";
    for name in pre_tokenizers::names().split(", ") {
        let name = Value::String(Cow::Owned(name.to_owned()));
        let tokenizer = open(&with(byte_level(), "tokenizer.ggml.pre", Some(name)), COUNT).unwrap();
        assert_eq!(decode(&tokenizer, &tokenizer.encode(text, true)), text);
    }
}

#[test]
fn bytes_merge_and_control_tokens_are_no_text() {
    for tokenizer in [open(&byte_level(), COUNT).unwrap(), open_json(&json()).unwrap()] {
        let id = |name: &str| (0..COUNT).find(|&id| tokenizer.token_bytes(id) == name.as_bytes()).unwrap() as u32;
        let hello = [id("hello"), id(" w"), id("o")];
        assert_eq!(tokenizer.encode("hello wo", true), hello);
        assert_eq!(tokenizer.encode("he<tool>hello", true), [id("he"), 3, id("hello")]);
        assert_eq!(tokenizer.encode("12 2", true), [id("12"), id(" "), id("2")]);
        for control in CONTROLS {
            let tokens = tokenizer.encode(&format!("hello{control}"), true);
            assert!(tokens.iter().all(|&token| token > 2), "{control}: {tokens:?}");
            assert_eq!(tokenizer.encode_controls(&format!("hello{control} wo"), true), [hello[0], id(control), hello[1], hello[2]]);
            let shielded = tokenizer.shielded(control).into_owned();
            assert_eq!(tokenizer.encode_controls(&shielded, true), tokenizer.encode(control, true));
        }
        assert_eq!(tokenizer.first_token(), Some(0));
        assert_eq!(tokenizer.ends(), [Some("<|bos|>".to_owned()), Some("<|im_end|>".to_owned())]);
        assert!(tokenizer.stop_tokens().contains(&2));
        assert_eq!(tokenizer.token_bytes(COUNT), b"");
    }
    assert_eq!(open_json(&json()).unwrap().stop_tokens(), [1, 2]);
}

#[test]
fn pieces_merge_by_score_and_fall_back_to_bytes() {
    let tokenizer = open(&sentence_piece(), 300).unwrap();
    assert_eq!(tokenizer.encode("ab ab", true), [7, 7]);
    assert_eq!(tokenizer.encode("ab", false), [6]);
    assert_eq!(tokenizer.encode("é", false), [10 + 0xC3, 10 + 0xA9]);
    // Its pieces are tokens, but together they would be the end of a text.
    assert!(!tokenizer.encode("</s>", true).contains(&2));
    assert_eq!(tokenizer.encode_controls("ab</s>ab", false), [6, 2, 7]);
    assert_eq!(decode(&tokenizer, &tokenizer.encode("é  ab\n", true)), " é  ab\n");
    let first = (tokenizer.first_token(), tokenizer.stop_tokens(), tokenizer.vocab_size());
    assert_eq!(first, (Some(1), &[2][..], 300));
    let without = open(&with(sentence_piece(), "tokenizer.ggml.add_space_prefix", Some(Value::Bool(false))), 300).unwrap();
    assert_eq!(without.encode("ab ab", true), [6, 7]);
    assert_ne!(without.name(), tokenizer.name());
}

#[test]
fn a_space_is_added_once_however_a_text_is_cut() {
    let mut files = json();
    files[0].1["normalizer"] = json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]});
    files[0].1["pre_tokenizer"] = json!(null);
    files[0].1["decoder"] = json!(null);
    files[0].1["model"] = json!({
        "type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
        "vocab": {"<unk>": 4, "▁": 5, "a": 6, "▁a": 7, "<0x0A>": 8}, "merges": [["▁", "a"]],
    });
    let tokenizer = open_json(&files).unwrap();
    assert_eq!(tokenizer.encode("a a", true), [7, 7]);
    assert_eq!(tokenizer.encode("a\na", true), [7, 8, 6]);
    assert_eq!(tokenizer.encode("a a<tool>", false), [6, 7, 3]);
    assert_eq!(decode(&tokenizer, &[7, 8, 6]), " a\na");
}

#[test]
fn what_is_wrong_with_metadata_is_named() {
    let strings = |strings: &[&str]| Some(Value::Array(Array::of_strings(strings)));
    let mut twice: Vec<String> = vec!["a".into(); 2];
    twice.resize_with(COUNT, || "b".into());
    let cases: [(&'static str, Option<Value>, &str); 13] = [
        ("tokenizer.ggml.pre", Some(Value::string("mine")), "\"mine\""),
        ("tokenizer.ggml.pre", Some(Value::string("mine")), "llama-bpe"),
        ("tokenizer.ggml.model", Some(Value::string("bert")), "\"bert\""),
        ("tokenizer.ggml.model", None, "tokenizer.ggml.model"),
        ("tokenizer.ggml.tokens", None, "tokenizer.ggml.tokens"),
        ("tokenizer.ggml.tokens", Some(Value::Array(Array::of_i32(0..5))), "strings"),
        ("tokenizer.ggml.tokens", Some(Value::Array(Array::of_strings(twice))), "twice"),
        ("tokenizer.ggml.token_type", Some(Value::Array(Array::of_i32(0..5))), "5 values"),
        ("tokenizer.ggml.merges", strings(&["ab"]), "\"ab\""),
        ("tokenizer.ggml.merges", strings(&["h q"]), "`hq`"),
        ("tokenizer.ggml.merges", strings(&["é"]), "\"é\""),
        ("tokenizer.ggml.eos_token_id", Some(Value::U32(COUNT as u32)), "below 267"),
        ("tokenizer.ggml.bos_token_id", Some(Value::I32(-1)), "below 267"),
    ];
    for (key, value, part) in cases {
        let error = open(&with(byte_level(), key, value), COUNT).expect_err(part);
        assert!(error.exit_code() == 2 && error.to_string().contains(part), "{key}: {part:?} in {error}");
    }
    let error = open(&byte_level(), COUNT - 1).unwrap_err().to_string();
    assert!(error.contains("at most 266 tokens") && error.contains("267"), "{error}");
    let scores = Some(Value::Array(Array::of_strings(vec!["x"; 266])));
    for value in [None, scores] {
        let error = open(&with(sentence_piece(), "tokenizer.ggml.scores", value), 300).unwrap_err().to_string();
        assert!(error.contains("tokenizer.ggml.scores"), "{error}");
    }
}

#[test]
fn what_is_wrong_with_json_is_named() {
    let cases: [(&str, serde_json::Value, &str); 13] = [
        ("/model/type", json!("Unigram"), "\"Unigram\""),
        ("/model/vocab", json!({"a": 4_294_967_295u32}), "4294967295"),
        ("/model/vocab", json!({"a": 5, "b": 5}), "5 twice"),
        ("/model/vocab", json!([]), "tokenizer.json"),
        ("/model/vocab", json!({}), "out of vocabulary"),
        ("/model/merges", json!(["a"]), "\"a\""),
        ("/model/merges", json!([["h", "q"]]), "hq"),
        ("/model/unk_token", json!("<none>"), "<none>"),
        ("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}), "Precompiled"),
        ("/normalizer", json!({"type": "Prepend", "prepend": "a".repeat(65)}), "65 bytes"),
        ("/pre_tokenizer", json!({"type": "FixedLength", "length": 0}), "FixedLength"),
        ("/pre_tokenizer", json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}), "pre-tokenizer"),
        ("/added_tokens/0/id", json!(500), "numbers of tokens below 267, found the token 500"),
    ];
    for (path, value, part) in cases {
        let mut files = json();
        let at = files[0].1.pointer_mut(path).unwrap_or_else(|| panic!("{path}"));
        *at = value;
        let error = open_json(&files).expect_err(path);
        assert!(error.exit_code() == 2 && error.to_string().contains(part), "{path}: {part:?} in {error}");
    }
    // One that was added to the file alone is none of the model.
    let mut padded = json();
    let pad = json!({"id": 267, "content": "<pad>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false});
    padded[0].1["added_tokens"].as_array_mut().expect("a list").push(pad);
    let tokenizer = open_json(&padded).expect("a tokenizer");
    assert_eq!((tokenizer.vocab_size(), tokenizer.is_control(267), tokenizer.names_control("<pad>")), (267, false, false));
    let mut marks = json();
    marks[0].1["model"]["end_of_word_suffix"] = json!("</w>");
    assert!(open_json(&marks).unwrap_err().to_string().contains("</w>"));
    let mut stops = json();
    for (id, part) in [(json!("2"), "eos_token_id"), (json!(COUNT), "the token 267"), (json!([-1]), "eos_token_id")] {
        stops[2].1["eos_token_id"] = id;
        let error = open_json(&stops).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains(part), "{part:?} in {error}");
    }
}

#[test]
fn a_folder_with_only_a_vocabulary_of_sentence_piece_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), "{}").unwrap();
    let error = ModelFiles::beside(folder.path()).unwrap().tokenizer(5).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json") && error.contains("neither"), "{error}");
    std::fs::write(folder.path().join("tokenizer.model"), "x").unwrap();
    let error = ModelFiles::beside(folder.path()).unwrap().tokenizer(5).unwrap_err();
    assert!(error.exit_code() == 2 && error.to_string().contains("only a tokenizer.model"), "{error}");
}

#[test]
fn templates_are_found_where_each_kind_of_file_has_them() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in json() {
        std::fs::write(folder.path().join(name), value.to_string()).unwrap();
    }
    let template = || ModelFiles::beside(folder.path()).unwrap().chat_template().unwrap();
    assert_eq!(template().as_deref(), Some("{{ messages[0].content }}"));
    std::fs::write(folder.path().join("chat_template.jinja"), "{# jinja #}").unwrap();
    assert_eq!(template().as_deref(), Some("{# jinja #}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_round_trips(text in any::<String>()) {
        let [ranks, file] = [open(&byte_level(), COUNT).unwrap(), open_json(&json()).unwrap()];
        let tokens = ranks.encode(&text, true);
        prop_assert_eq!(&decode(&ranks, &tokens), &text);
        prop_assert_eq!(&file.encode(&text, true), &tokens);
        let pieces = open(&sentence_piece(), 300).unwrap();
        prop_assert_eq!(decode(&pieces, &pieces.encode(&text, false)), text);
    }

    /// A change anywhere in the files is an error or a tokenizer that works.
    #[test]
    fn damaged_files_end_nothing(at in any::<prop::sample::Index>(), byte in any::<u8>(), text in "[a-z<|>é ]{0,20}") {
        for entries in [byte_level(), sentence_piece()] {
            let entries: Vec<(String, Value)> = entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            let mut damaged = gguf::encode(&entries, &[]).unwrap();
            let at = at.index(damaged.len());
            damaged[at] = byte;
            let opened = Gguf::from_bytes("tiny.gguf", &damaged).map_err(Error::from).map(ModelFiles::of_gguf);
            if let Ok(tokenizer) = opened.and_then(|files| files.tokenizer(COUNT)) {
                tokenizer.encode(&text, true);
                tokenizer.encode_controls(&text, false);
            }
        }
        let file = json()[0].1.to_string();
        let mut damaged = file.into_bytes();
        let at = at.index(damaged.len());
        damaged[at] = byte;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), damaged).unwrap();
        if let Ok(tokenizer) = ModelFiles::beside(folder.path()).and_then(|files| files.tokenizer(COUNT)) {
            tokenizer.encode(&text, true);
            tokenizer.encode_controls(&text, false);
        }
    }
}
