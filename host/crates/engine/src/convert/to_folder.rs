//! A model as a folder of Hugging Face.

use std::collections::VecDeque;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::export::{Out, add_biases, unknown};
use super::names::Style;
use super::table::Table;
use super::to_gguf::Lost;
use super::weights::{Model, Parameter};
use crate::Result;
use crate::config::LlamaConfig;
use crate::files::Dtype;
use crate::files::checkpoint::{TensorRef, save};
use crate::files::durable::{self, Transient};
use crate::files::hugging_face::scalar;
use crate::files::mapped;
use crate::nn::kept::Kept;
use crate::nn::rotary::RopeScaling;
use crate::ops::rope::RotaryPairs;

/// The files that a model came with, and that go with it again.
const KEPT: [&str; 4] = ["tokenizer.json", "tokenizer_config.json", GENERATION, "chat_template.jinja"];
/// Where texts end that a model makes.
const GENERATION: &str = "generation_config.json";
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const CARD: &str = "README.md";

/// Writes the model to the folder `out`, which is made. Weights that are no floats of a type of `transformers` become `floats`. `files` are those of its
/// tokenizer, where the model did not come with them.
///
/// # Errors
/// A model that `transformers` does not have, or whose file changes meanwhile; I/O errors. Nothing is left then.
pub fn export(model: &Model, floats: Dtype, files: &[(String, Vec<u8>)], out: &Path) -> Result<Vec<Lost>> {
    let mut config = config(model)?;
    if let Some((_, bytes)) = files.iter().find(|(name, _)| name == GENERATION) {
        let ends: Map<String, Value> = serde_json::from_slice(bytes).unwrap_or_default();
        config.as_object_mut().expect("an object").extend(ends);
    }
    // What is not kept in the end is removed, the latest first.
    let mut written = VecDeque::new();
    if !out.exists() {
        std::fs::create_dir_all(out).map_err(|error| durable::write_error(out, 0, error))?;
        written.push_front(Transient::new(out.to_owned()));
    }
    let mut place = |name: &str| {
        let path = out.join(name);
        written.push_front(Transient::new(path.clone()));
        path
    };
    let mut tensors = Out::all(model, Style::HuggingFace, RotaryPairs::Halves, |_, parts| {
        let mut types = parts.iter().map(|part| match part.kept() {
            Kept::Blocks(dtype @ (Dtype::F16 | Dtype::BF16)) => dtype,
            Kept::Float if matches!(part, Parameter::Matrix(_)) => Dtype::F32,
            _ => floats,
        });
        let first = types.next().unwrap_or(floats);
        if types.all(|dtype| dtype == first) { first } else { Dtype::F32 }
    });
    add_biases(model, Style::HuggingFace, &mut tensors);
    let references: Vec<TensorRef> = tensors.iter().map(|out| TensorRef::streamed(out.name.clone(), out.dtype, &out.shape, out)).collect();
    let mut metadata = std::collections::BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let about =
        ["license", "name", "base_model"].iter().filter_map(|key| Some(((*key).to_owned(), model.file.metadata().get(*key)?.clone())));
    metadata.extend(about);
    save(&place(WEIGHTS), &metadata, &references)?;
    for name in KEPT {
        let given = files.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes.clone());
        if let Some(bytes) = model.attached(name)?.or(given) {
            durable::write(&place(name), &bytes)?;
        }
    }
    if let Some(license) = model.file.metadata().get("license") {
        let base = model.file.metadata().get("base_model").map_or(String::new(), |base| format!("base_model: {}\n", scalar(base)));
        durable::write(&place(CARD), format!("---\nlicense: {}\n{base}---\n", scalar(license)).as_bytes())?;
    }
    let text = serde_json::to_vec_pretty(&config).expect("plain data");
    durable::write(&place(CONFIG), &text)?;
    let errors = tensors.iter().map(|out| Ok((out.name.clone(), out.dtype, out.error()?)));
    let errors = errors.collect::<Result<Vec<_>>>()?;
    mapped::require_unchanged()?;
    written.into_iter().for_each(Transient::keep);
    Ok(errors.into_iter().filter(|(.., error)| *error > 0.0).collect())
}

/// The configuration that it came with, or one of what is known.
fn config(model: &Model) -> Result<Value> {
    if let Some(bytes) = model.attached(CONFIG)? {
        let mut map: Map<String, Value> = serde_json::from_slice(&bytes).unwrap_or_default();
        // The tensors say what they are.
        map.retain(|key, _| !["torch_dtype", "dtype", "quantization_config"].contains(&key.as_str()));
        return Ok(Value::Object(map));
    }
    let class = match &model.table {
        Table::Gpt(_) => "GPT2LMHeadModel",
        Table::Llama(LlamaConfig { qkv_biases: false, qk_norms: false, .. }) => "LlamaForCausalLM",
        Table::Llama(LlamaConfig { qkv_biases: true, qk_norms: false, .. }) => "Qwen2ForCausalLM",
        Table::Llama(LlamaConfig { qkv_biases: false, qk_norms: true, .. }) => "Qwen3ForCausalLM",
        Table::Llama(_) => return Err(unknown(&model.path, "one with both biases and norms of queries and keys")),
    };
    let mut config = match &model.table {
        Table::Gpt(c) => json!({
            "model_type": "gpt2", "n_embd": c.dim, "n_layer": c.layers, "n_head": c.heads, "n_positions": c.context, "n_ctx": c.context,
            "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
            "bos_token_id": null, "eos_token_id": null,
        }),
        Table::Llama(c) => json!({
            "model_type": class.trim_end_matches("ForCausalLM").to_lowercase(), "hidden_size": c.dim, "num_hidden_layers": c.layers,
            "num_attention_heads": c.heads, "num_key_value_heads": c.kv_heads(), "head_dim": c.head_dim(), "intermediate_size": c.hidden,
            "max_position_embeddings": c.context, "rms_norm_eps": shortest(c.norm_epsilon), "rope_theta": c.rope_base, "hidden_act": "silu",
            "attention_bias": false, "use_sliding_window": false, "bos_token_id": null, "eos_token_id": null,
        }),
    };
    let more = json!({"architectures": [class], "vocab_size": model.table.vocab(), "tie_word_embeddings": model.table.is_tied()});
    let map = config.as_object_mut().expect("an object");
    map.extend(more.as_object().cloned().unwrap_or_default());
    if let Table::Llama(c) = &model.table
        && c.rope_scaling != RopeScaling::Default
    {
        map.insert("rope_scaling".into(), serde_json::to_value(c.rope_scaling).expect("plain data"));
    }
    Ok(config)
}

/// The `f64` that reads as the same digits: 1e-5, and not 9.999999747378752e-6.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}
