//! Language models of other programs: in, out again to the byte, and those that lie.

use std::collections::BTreeMap;

use primal_engine::files::checkpoint::{Dtype, TensorRef};
use primal_engine::files::gguf::{Array, Gguf, Value, encode};
use primal_engine::files::open;
use primal_host::data::ModelFiles;

use crate::{Place, tiny_run};

/// A tensor to be written: name, type, shape and bytes.
type Stored = (String, Dtype, Vec<usize>, Vec<u8>);
/// Keys and values of a file, to be changed by key.
type ByKey = BTreeMap<String, Value<'static>>;

/// One token for each byte, as GPT-2 writes them, and one that ends texts.
const VOCAB: usize = 257;
const DIM: usize = 64;
const HIDDEN: usize = 96;

type Metadata = Vec<(String, Value<'static>)>;

/// The characters of bytes, by GPT-2's `bytes_to_unicode`.
fn tokens() -> Vec<String> {
    let is_printed = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut next = 256;
    let mut letter = |byte: u8| {
        if is_printed(byte) {
            return char::from(byte);
        }
        next += 1;
        char::from_u32(next - 1).expect("a letter")
    };
    let mut tokens: Vec<String> = (0..=255).map(|byte| letter(byte).to_string()).collect();
    tokens.push("<|end|>".into());
    tokens
}

fn metadata() -> Metadata {
    let number = |key: &str, value: u32| (format!("llama.{key}"), Value::U32(value));
    let named = |key: &str, value: &'static str| (key.to_owned(), Value::string(value));
    let mut kinds = vec![1; VOCAB];
    kinds[256] = 3;
    vec![
        named("general.architecture", "llama"),
        named("general.name", "Tiny"),
        named("general.license", "mit"),
        ("something.of.its.own".into(), Value::F64(0.1)),
        number("context_length", 64),
        number("embedding_length", DIM as u32),
        number("block_count", 1),
        number("feed_forward_length", HIDDEN as u32),
        number("attention.head_count", 4),
        number("attention.head_count_kv", 2),
        number("rope.dimension_count", 16),
        ("llama.attention.layer_norm_rms_epsilon".into(), Value::F32(1e-5)),
        named("tokenizer.ggml.model", "gpt2"),
        named("tokenizer.ggml.pre", "gpt-2"),
        ("tokenizer.ggml.tokens".into(), Value::Array(Array::of_strings(tokens()))),
        ("tokenizer.ggml.token_type".into(), Value::Array(Array::of_i32(kinds))),
        ("tokenizer.ggml.merges".into(), Value::Array(Array::of_strings(["Ā Ā"]))),
        ("tokenizer.ggml.eos_token_id".into(), Value::U32(256)),
        ("tokenizer.ggml.add_bos_token".into(), Value::Bool(false)),
    ]
}

/// Blocks of small weights: halves in front, codes of whatever comes.
fn blocks(dtype: Dtype, rows: usize, cols: usize, seed: usize) -> Vec<u8> {
    let len = dtype.tensor_len(&[rows, cols]).expect("whole blocks");
    let mut bytes: Vec<u8> = (0..len).map(|i| (((i + seed) * 2_654_435_761) >> 13) as u8).collect();
    let (_, size) = dtype.block();
    let half = |value: f32| half::f16::from_f32(value).to_le_bytes();
    for (i, block) in bytes.chunks_mut(size).enumerate() {
        match dtype {
            Dtype::F32 => block.copy_from_slice(&(0.02 * ((i * 7 + seed) % 11) as f32 - 0.1).to_le_bytes()),
            Dtype::F16 => block.copy_from_slice(&half(0.02 * ((i * 7 + seed) % 11) as f32 - 0.1)),
            Dtype::Q4_1 | Dtype::Q5_1 => {
                block[..2].copy_from_slice(&half(0.01));
                block[2..4].copy_from_slice(&half(-0.075));
            }
            Dtype::Q6_K => block[size - 2..].copy_from_slice(&half(1e-5)),
            _ => block[..2].copy_from_slice(&half(if dtype == Dtype::Q8_0 { 1e-3 } else { 0.01 })),
        }
    }
    bytes
}

/// Names, types, shapes and bytes, in an order of their own.
fn tensors() -> Vec<Stored> {
    let kv = DIM / 2;
    let all: [(&str, Dtype, &[usize]); 12] = [
        ("output.weight", Dtype::Q8_0, &[VOCAB, DIM]),
        ("token_embd.weight", Dtype::Q4_0, &[VOCAB, DIM]),
        ("blk.0.attn_norm.weight", Dtype::F32, &[DIM]),
        ("blk.0.attn_q.weight", Dtype::Q4_1, &[DIM, DIM]),
        ("blk.0.attn_k.weight", Dtype::Q4_0, &[kv, DIM]),
        ("blk.0.attn_v.weight", Dtype::Q5_1, &[kv, DIM]),
        ("blk.0.attn_output.weight", Dtype::F32, &[DIM, DIM]),
        ("blk.0.ffn_norm.weight", Dtype::F16, &[DIM]),
        ("blk.0.ffn_gate.weight", Dtype::F16, &[HIDDEN, DIM]),
        ("blk.0.ffn_up.weight", Dtype::Q4_1, &[HIDDEN, DIM]),
        ("blk.0.ffn_down.weight", Dtype::IQ4_NL, &[DIM, HIDDEN]),
        ("output_norm.weight", Dtype::F32, &[DIM]),
    ];
    all.iter()
        .enumerate()
        .map(|(seed, &(name, dtype, shape))| {
            let [rows, cols] = if let [rows, cols] = *shape { [rows, cols] } else { [1, shape[0]] };
            (name.to_owned(), dtype, shape.to_vec(), blocks(dtype, rows, cols, seed))
        })
        .collect()
}

fn gguf(metadata: &Metadata, tensors: &[(String, Dtype, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let references: Vec<_> = tensors.iter().map(|(name, dtype, shape, bytes)| TensorRef::new(name, *dtype, shape, bytes)).collect();
    encode(metadata, &references).expect("a model")
}

#[test]
fn what_came_as_it_is_goes_as_it_was() {
    let place = Place::new();
    let original = gguf(&metadata(), &tensors());
    place.write("in.gguf", &original);
    let said = place.succeeds(&["import", "model", "in.gguf", "--out", "m.safetensors", "--as-is"]);
    assert!(said.contains("uint4 with group32-offset scales") && said.contains("licence: mit") && said.contains("nats a token"), "{said}");
    let said = place.succeeds(&["export", "gguf", "m.safetensors", "--out", "out.gguf"]);
    assert!(said.contains("llama, exact"), "{said}");
    assert!(std::fs::read(place.path("out.gguf")).expect("a file") == original, "another file");
    // Through a folder: everything is a float there.
    place.succeeds(&["export", "hf", "m.safetensors", "--out", "folder", "--floats", "F32"]);
    place.succeeds(&["import", "model", "folder", "--out", "f.safetensors", "--no-loss", "--as-is"]);
    place.write("text.txt", "The ghost in the machine is singing. ".repeat(20));
    let loss = |file: &str| {
        let said = place.succeeds(&["eval", "--checkpoint", file, "--data", "text.txt", "--split", "all", "--json"]);
        let object: serde_json::Value = serde_json::from_str(said.trim()).expect("an object");
        object["nats_per_token"].as_f64().expect("a number")
    };
    let [before, after] = ["m.safetensors", "f.safetensors"].map(loss);
    assert!((before - after).abs() < 1e-4 * before, "{before} and {after}");
    let file = open(place.path("f.safetensors")).expect("a model");
    assert_eq!((&file.metadata()["license"][..], file.names().any(|name| name == "files/tokenizer.json")), ("mit", true));
    let written = place.succeeds(&["generate", "--checkpoint", "m.safetensors", "--prompt", "a", "--max-tokens", "4"]);
    assert!(written.starts_with('a'), "{written}");
}

#[test]
fn a_file_of_the_model_is_not_written_over() {
    let place = Place::new();
    place.write("in.gguf", gguf(&metadata(), &tensors()));
    place.succeeds(&["import", "model", "in.gguf", "--out", "m.safetensors", "--no-loss"]);
    place.succeeds(&["export", "hf", "m.safetensors", "--out", "folder"]);
    let before = std::fs::read(place.path("folder/model.safetensors")).expect("weights");
    for from in ["folder", "folder/model.safetensors"] {
        let said = place.refused(&["import", "model", from, "--out", "folder/../folder/model.safetensors", "--no-loss"]);
        assert!(said.contains("--out"), "{said}");
    }
    assert!(std::fs::read(place.path("folder/model.safetensors")).expect("weights") == before, "other weights");
    // What an import made there may be made again.
    for _ in 0..2 {
        place.succeeds(&["import", "model", "folder", "--out", "folder/ours.safetensors", "--no-loss"]);
    }
}

#[test]
fn a_model_that_does_not_answer_is_given_a_template() {
    let place = Place::new();
    place.write("in.gguf", gguf(&metadata(), &tensors()));
    place.succeeds(&["import", "model", "in.gguf", "--out", "base.safetensors", "--no-loss"]);
    place.succeeds(&["export", "hf", "base.safetensors", "--out", "folder"]);
    place.write(
        "own.jinja",
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}",
    );
    place.write("endless.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}");
    let talk = r#"{"instruction": "Who?", "output": "A ghost."}"#;
    place.write("talks.jsonl", format!("{talk}\n").repeat(8));
    let train = ["train", "--data", "talks.jsonl", "--steps", "1", "--batch", "1", "--seq-len", "48", "--out", "run", "--from"];
    let said = place.refused(&[&train[..], &["base.safetensors"]].concat());
    assert!(said.contains("talks.jsonl:1") && said.contains("--chat-template"), "{said}");
    for (name, part) in [
        ("chatml", "<|im_end|>"),
        ("endless.jinja", "a control token of the model's tokenizer after an answer"),
        ("none.jinja", "none.jinja"),
    ] {
        let said = place.refused(&["import", "model", "in.gguf", "--out", "m.safetensors", "--no-loss", "--chat-template", name]);
        assert!(said.contains(part), "{said}");
    }
    // One token more that ends an answer goes from format to format.
    let mut other = metadata();
    let kinds = other.iter_mut().find(|(key, _)| key == "tokenizer.ggml.token_type").expect("kinds");
    kinds.1 = Value::Array(Array::of_i32((0..VOCAB as i32).map(|id| if id == 1 || id == 256 { 3 } else { 1 })));
    place.write("other.gguf", gguf(&other, &tensors()));
    place.write("other.jinja", "{% for m in messages %}{{ m.content }}\u{101}{% endfor %}");
    place.succeeds(&["import", "model", "other.gguf", "--out", "other.safetensors", "--no-loss"]);
    place.succeeds(&["export", "hf", "other.safetensors", "--out", "others"]);
    let stops = |file: &str| {
        let file = open(place.path(file)).expect("a model");
        ModelFiles::attached_to(&*file).expect("files").tokenizer(VOCAB).expect("a tokenizer").stop_tokens().to_vec()
    };
    assert_eq!(stops("other.safetensors"), [256]);
    for from in ["other.gguf", "others"] {
        place.succeeds(&["import", "model", from, "--out", "m.safetensors", "--no-loss", "--chat-template", "other.jinja"]);
        assert_eq!(stops("m.safetensors"), [1, 256], "{from}");
        for (format, out) in [("gguf", "out.gguf"), ("hf", "outs")] {
            place.succeeds(&["export", format, "m.safetensors", "--out", out]);
            place.succeeds(&["import", "model", out, "--out", "again.safetensors", "--no-loss"]);
            assert_eq!(stops("again.safetensors"), [1, 256], "{from}, {format}");
        }
        std::fs::remove_dir_all(place.path("outs")).expect("a folder");
    }
    for from in ["in.gguf", "folder"] {
        for name in ["plain", "own.jinja"] {
            place.succeeds(&["import", "model", from, "--out", "m.safetensors", "--no-loss", "--chat-template", name]);
            let said = place.succeeds(&[&train[..], &["m.safetensors"]].concat());
            assert!(!said.contains("ends an answer"), "{from}, {name}: {said}");
            place.succeeds(&["chat", "--checkpoint", "m.safetensors", "--prompt", "Who?", "--max-tokens", "3"]);
            std::fs::remove_dir_all(place.path("run")).expect("a folder");
            // It goes out with the model.
            place.succeeds(&["export", "gguf", "m.safetensors", "--out", "out.gguf"]);
            let template =
                Gguf::open(place.path("out.gguf")).expect("a model").value("tokenizer.chat_template").expect("a template").to_string();
            assert!(template.contains(if name == "plain" { "Assistant:" } else { "[assistant]" }), "{from}, {name}: {template}");
        }
    }
}

#[test]
fn weights_are_fitted_and_the_loss_is_told() {
    let place = Place::new();
    place.write("in.gguf", gguf(&metadata(), &tensors()));
    place.write("text.txt", "The ghost in the machine is singing. ".repeat(20));
    for (flags, expected) in [
        (&["--grid", "int4"][..], &["int4 with group32 scales", "before", "lose again"][..]),
        (&["--grid", "prime13"], &["prime13 with row scales", "one scale for each row"]),
        (&["--grid", "uniform15", "--keep-embeddings"], &["1 matrices as they were, in int4", "uniform15"]),
        (&["--scales", "group32-offset"], &["uint4 with group32-offset scales"]),
    ] {
        let arguments = [&["import", "model", "in.gguf", "--out", "m.safetensors", "--text", "text.txt"], flags].concat();
        let said = place.succeeds(&arguments);
        assert!(expected.iter().all(|part| said.contains(part)), "{expected:?} in: {said}");
        let said = place.succeeds(&["export", "gguf", "m.safetensors", "--out", "out.gguf"]);
        assert_eq!(said.contains("exact\n"), !flags.contains(&"prime13"), "{said}");
        place.succeeds(&["import", "model", "out.gguf", "--out", "again.safetensors", "--no-loss", "--as-is"]);
        let out = Gguf::open(place.path("out.gguf")).expect("a model");
        assert_eq!(out.value("something.of.its.own"), Some(Value::F64(0.1)));
    }
    place.succeeds(&["import", "model", "in.gguf", "--out", "v.safetensors", "--grid", "uniform15", "--for-training", "--no-loss"]);
    assert!(
        open(place.path("v.safetensors")).expect("a model").view("blocks.0.mlp.down.votes").is_ok_and(|votes| votes.dtype == Dtype::U8)
    );
    for command in [&["generate", "--checkpoint", "v.safetensors"][..], &["export", "gguf", "v.safetensors", "--out", "v.gguf"]] {
        place.succeeds(command);
    }
    place.write("short.txt", "a");
    let files = || std::fs::read_dir(place.folder.path()).expect("a folder").count();
    let before = files();
    for (flags, part) in [
        (&["--grid", "prime17"][..], "--grid"),
        (&["--grid", "prime13", "--scales", "group32"], "row with prime13"),
        (&["--as-is", "--grid", "int4"], "--as-is"),
        (&["--text", "text.txt", "--no-loss"], "--text"),
        (&["--text", "missing.txt"], "missing.txt"),
        (&["--text", "short.txt"], "expected a text of 2 tokens or more, so that there is one to predict, found short.txt"),
        (&["--text", "short.txt", "--grid", "int4"], "short.txt"),
        (&["--for-training"], "leaves nothing over"),
        (&["--for-training", "--as-is"], "--for-training"),
    ] {
        let message = place.refused(&[&["import", "model", "in.gguf", "--out", "n.safetensors"], flags].concat());
        assert!(message.contains(part), "{part:?} in: {message}");
    }
    assert_eq!(files(), before, "something is left");
}

#[test]
fn a_checkpoint_of_a_run_is_exported() {
    let place = Place::new();
    let checkpoint = tiny_run(&place, 2).display().to_string();
    let loss = |file: &str| {
        let said = place.succeeds(&["eval", "--checkpoint", file, "--data", "text.txt", "--json"]);
        let object: serde_json::Value = serde_json::from_str(said.trim()).expect("an object");
        object["nats_per_token"].as_f64().expect("a number")
    };
    let expected = loss(&checkpoint);
    for (kind, out) in [("gguf", "model.gguf"), ("hf", "folder")] {
        place.succeeds(&["export", kind, &checkpoint, "--out", out]);
        place.succeeds(&["import", "model", out, "--out", "again.safetensors", "--as-is", "--no-loss"]);
        let found = loss("again.safetensors");
        assert!((found - expected).abs() < 2e-3 * expected, "{kind}: {found}, expected {expected}");
    }
}

#[test]
fn models_that_lie_are_refused() {
    let place = Place::new();
    let refused = |what: &str, part: &str, edit: &dyn Fn(&mut ByKey, &mut Vec<Stored>)| {
        let (mut keys, mut list) = (metadata().into_iter().collect::<BTreeMap<_, _>>(), tensors());
        edit(&mut keys, &mut list);
        place.write("in.gguf", gguf(&keys.into_iter().collect(), &list));
        let message = place.refused(&["import", "model", "in.gguf", "--out", "m.safetensors"]);
        assert!(message.contains("in.gguf") && message.contains(part), "{what}: {part:?} in: {message}");
        assert!(!place.path("m.safetensors").exists(), "{what}");
        let left = std::fs::read_dir(place.folder.path()).expect("a folder").count();
        assert_eq!(left, 1, "{what}");
    };
    for key in [
        "embedding_length",
        "block_count",
        "feed_forward_length",
        "attention.head_count",
        "context_length",
        "attention.layer_norm_rms_epsilon",
    ] {
        let key = format!("llama.{key}");
        refused("a key that is missing", &key, &|keys, _| drop(keys.remove(&key)));
        refused("a key that is a text", &key, &|keys, _| drop(keys.insert(key.clone(), Value::string("64"))));
        for value in [Value::U32(0), Value::U32(u32::MAX), Value::U64(u64::MAX), Value::I32(-1), Value::F32(f32::NAN)] {
            // A model for more tokens than can be read is told so, and reads fewer.
            if key == "llama.context_length" && value.as_u64().is_some_and(|value| value > 0) {
                continue;
            }
            refused("a key of another value", "in.gguf", &|keys, _| drop(keys.insert(key.clone(), value.clone())));
        }
    }
    let key = |key: &'static str, value: Value<'static>| {
        move |keys: &mut BTreeMap<String, Value<'static>>, _: &mut Vec<_>| drop(keys.insert(key.into(), value.clone()))
    };
    for (what, part, edit) in [
        ("another architecture", "`mamba`", key("general.architecture", Value::string("mamba"))),
        ("heads that divide nothing", "head_count", key("llama.attention.head_count", Value::U32(5))),
        ("heads by layer", "the same number", key("llama.attention.head_count_kv", Value::Array(Array::of_i32([1, 2])))),
        ("experts", "expert_count", key("llama.expert_count", Value::U32(8))),
        ("a window", "sliding_window", key("llama.attention.sliding_window", Value::U32(8))),
        ("a part of the head", "rope.dimension_count", key("llama.rope.dimension_count", Value::U32(8))),
        ("a scaling", "rope.scaling.type", key("llama.rope.scaling.type", Value::string("longrope"))),
        ("no base", "rope.freq_base", key("llama.rope.freq_base", Value::F32(f32::NAN))),
        ("a way to cut text", "tokenizer.ggml.pre", key("tokenizer.ggml.pre", Value::string("nobody"))),
        ("a kind of tokenizer", "tokenizer.ggml.model", key("tokenizer.ggml.model", Value::string("bert"))),
    ] {
        refused(what, part, &edit);
    }
    refused("tokens without rows", "token_embd.weight", &|keys, _| {
        drop(keys.insert("tokenizer.ggml.tokens".into(), Value::Array(Array::of_strings((0..VOCAB + 1).map(|i| i.to_string())))));
    });
    refused("a tensor that is missing", "blk.0.attn_q.weight", &|_, list| list.retain(|(name, ..)| name != "blk.0.attn_q.weight"));
    refused("a tensor of another shape", "the shape [64, 64]", &|_, list| {
        let tensor = list.iter_mut().find(|(name, ..)| name == "blk.0.attn_q.weight").expect("a tensor");
        *tensor = (tensor.0.clone(), Dtype::Q4_1, vec![32, 64], blocks(Dtype::Q4_1, 32, 64, 1));
    });
    refused("a tensor of integers", "floats", &|_, list| {
        let tensor = list.iter_mut().find(|(name, ..)| name == "blk.0.attn_q.weight").expect("a tensor");
        *tensor = (tensor.0.clone(), Dtype::I32, vec![64, 64], vec![0; 4 * 64 * 64]);
    });
    refused("a tensor that nobody knows", "`blk.0.ssm.weight` besides", &|_, list| {
        list.push(("blk.0.ssm.weight".into(), Dtype::F32, vec![1], vec![0; 4]));
    });
    refused("a norm that is no number", "finite weights", &|_, list| {
        let tensor = list.iter_mut().find(|(name, ..)| name == "output_norm.weight").expect("a tensor");
        tensor.3[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    refused("a step that is no number", "finite weights", &|_, list| {
        let tensor = list.iter_mut().find(|(name, ..)| name == "blk.0.attn_k.weight").expect("a tensor");
        tensor.3[..2].copy_from_slice(&half::f16::INFINITY.to_le_bytes());
    });
    refused("factors that nobody knows", "rope_freqs.weight", &|_, list| {
        list.push(("rope_freqs.weight".into(), Dtype::F32, vec![8], vec![0x41; 32]));
    });
}
