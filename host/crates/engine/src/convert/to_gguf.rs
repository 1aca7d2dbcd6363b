//! A model as a GGUF file.

use std::collections::BTreeMap;
use std::path::Path;

use super::export::{Out, add_biases, common_target, unknown};
use super::import::TENSORS_KEY;
use super::names::Style;
use super::table::Table;
use super::weights::Model;
use crate::Result;
use crate::config::LlamaConfig;
use crate::files::Dtype;
use crate::files::checkpoint::TensorRef;
use crate::files::durable::Unfinished;
use crate::files::gguf::{Gguf, Value, save_in};
use crate::files::mapped;
use crate::nn::rotary::{RopeScaling, Rotary};
use crate::ops::rope::RotaryPairs;

/// The key of the type that most tensors have.
const FILE_TYPE: &str = "general.file_type";
const VERSION: &str = "general.quantization_version";
/// `GGML_QNT_VERSION`.
const QUANTIZATION: u32 = 2;

/// What became of a tensor that does not hold its weights exactly.
pub type Lost = (String, Dtype, f64);

/// Writes the model to `out`. `tokenizer` are the keys of its tokenizer, where the model did not come with them.
///
/// # Errors
/// A model that llama.cpp does not have, or whose file changes meanwhile; I/O errors.
pub fn export(model: &Model, tokenizer: &[(String, Value)], out: &Path) -> Result<Vec<Lost>> {
    let mut unfinished = Unfinished::of(out, 0)?;
    let lost = write(model, tokenizer, &mut unfinished)?;
    mapped::require_unchanged()?;
    unfinished.finish()?;
    Ok(lost)
}

fn write(model: &Model, tokenizer: &[(String, Value)], out: &mut Unfinished) -> Result<Vec<Lost>> {
    let architecture = architecture(model)?;
    let pairs = if architecture == "llama" { RotaryPairs::Adjacent } else { RotaryPairs::Halves };
    let own = model.attached("gguf")?.map(|bytes| Gguf::from_bytes("the metadata of its GGUF file", &bytes)).transpose()?;
    let listed: Vec<(String, String)> = match (&own, model.file.metadata().get(TENSORS_KEY)) {
        (Some(_), Some(list)) => serde_json::from_str(list).unwrap_or_default(),
        _ => Vec::new(),
    };
    let given: BTreeMap<&str, &str> = listed.iter().map(|(name, dtype)| (name.as_str(), dtype.as_str())).collect();
    let mut tensors = Out::all(model, Style::Gguf, pairs, |name, parts| {
        // Vectors came as what they were, and are floats here.
        let came = given.get(name).and_then(|name| [Dtype::F16, Dtype::BF16].into_iter().find(|dtype| dtype.name() == *name));
        match common_target(parts) {
            Dtype::F32 => came.unwrap_or(Dtype::F32),
            dtype => dtype,
        }
    });
    add_biases(model, Style::Gguf, &mut tensors);
    if let Some(bytes) = factors(model)? {
        tensors.push(Out::floats(model, "rope_freqs.weight".into(), bytes));
    }
    let order: BTreeMap<&str, usize> = listed.iter().enumerate().map(|(i, (name, _))| (name.as_str(), i)).collect();
    tensors.sort_by_key(|out| order.get(out.name.as_str()).copied().unwrap_or(usize::MAX));
    let is_same = !listed.is_empty()
        && tensors.len() == listed.len()
        && tensors.iter().zip(&listed).all(|(out, (name, dtype))| out.name == *name && out.dtype.name() == dtype);
    let mut metadata: Vec<(String, Value)> = match &own {
        Some(own) => own.entries().map(|(key, value)| (key.to_owned(), value)).collect(),
        None => metadata(model, architecture).into_iter().chain(tokenizer.iter().cloned()).collect(),
    };
    if !is_same {
        set(&mut metadata, FILE_TYPE, Value::U32(file_type(&tensors)));
        set(&mut metadata, VERSION, Value::U32(QUANTIZATION));
    }
    let references: Vec<TensorRef> = tensors.iter().map(|out| TensorRef::streamed(out.name.clone(), out.dtype, &out.shape, out)).collect();
    save_in(out, &metadata, &references)?;
    let errors = tensors.iter().map(|out| Ok((out.name.clone(), out.dtype, out.error()?)));
    Ok(errors.collect::<Result<Vec<_>>>()?.into_iter().filter(|(.., error)| *error > 0.0).collect())
}

fn set<'a>(metadata: &mut Vec<(String, Value<'a>)>, key: &str, value: Value<'a>) {
    match metadata.iter_mut().find(|(known, _)| known == key) {
        Some((_, old)) => *old = value,
        None => metadata.push((key.into(), value)),
    }
}

/// The name of the architecture in llama.cpp.
pub fn architecture(model: &Model) -> Result<&'static str> {
    match &model.table {
        Table::Gpt(_) => Ok("gpt2"),
        Table::Llama(LlamaConfig { qkv_biases: false, qk_norms: false, .. }) => Ok("llama"),
        Table::Llama(LlamaConfig { qkv_biases: true, qk_norms: false, .. }) => Ok("qwen2"),
        Table::Llama(LlamaConfig { qkv_biases: false, qk_norms: true, .. }) => Ok("qwen3"),
        Table::Llama(_) => Err(unknown(&model.path, "one with both biases and norms of queries and keys")),
    }
}

/// `enum llama_ftype`, of the type of the most values.
fn file_type(tensors: &[Out]) -> u32 {
    let mut counts = BTreeMap::<Dtype, usize>::new();
    tensors.iter().for_each(|out| *counts.entry(out.dtype).or_default() += out.shape.iter().product::<usize>());
    let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(dtype, _)| dtype);
    match most {
        Some(Dtype::F16) => 1,
        Some(Dtype::Q4_0) => 2,
        Some(Dtype::Q4_1) => 3,
        Some(Dtype::Q8_0) => 7,
        Some(Dtype::Q5_0) => 8,
        Some(Dtype::Q5_1) => 9,
        Some(Dtype::Q4_K) => 15,
        Some(Dtype::Q5_K) => 17,
        Some(Dtype::Q6_K) => 18,
        Some(Dtype::IQ4_NL) => 25,
        Some(Dtype::BF16) => 32,
        _ => 0,
    }
}

/// The factors of Llama 3's scaling, as they came or as they follow.
fn factors(model: &Model) -> Result<Option<Vec<u8>>> {
    if let Some(bytes) = model.attached("rope_freqs.weight")? {
        return Ok(Some(bytes));
    }
    let Table::Llama(config) = &model.table else { return Ok(None) };
    let RopeScaling::Llama3 { .. } = config.rope_scaling else { return Ok(None) };
    let plain = Rotary { base: config.rope_base, pairs: config.head_dim() / 2, scaling: RopeScaling::Default };
    let scaled = Rotary { scaling: config.rope_scaling, ..plain }.frequencies();
    Ok(Some(plain.frequencies().iter().zip(scaled).flat_map(|(plain, scaled)| (plain / scaled).to_le_bytes()).collect()))
}

/// What llama.cpp asks of a model.
fn metadata(model: &Model, architecture: &str) -> Vec<(String, Value<'static>)> {
    let mut all: Vec<(String, Value<'static>)> = vec![("general.architecture".into(), Value::string(architecture.to_owned()))];
    for (theirs, ours) in [("general.name", "name"), ("general.license", "license"), ("general.base_model.0.name", "base_model")] {
        if let Some(text) = model.file.metadata().get(ours) {
            if ours == "base_model" {
                all.push(("general.base_model.count".into(), Value::U32(1)));
            }
            all.push((theirs.into(), Value::string(text.clone())));
        }
    }
    let mut push = |key: &str, value: Value<'static>| all.push((format!("{architecture}.{key}"), value));
    let number = |number: usize| Value::U32(number as u32);
    push("context_length", number(model.table.context()));
    push("vocab_size", number(model.table.vocab()));
    match &model.table {
        Table::Gpt(c) => {
            push("embedding_length", number(c.dim));
            push("block_count", number(c.layers));
            push("feed_forward_length", number(4 * c.dim));
            push("attention.head_count", number(c.heads));
            push("attention.layer_norm_epsilon", Value::F32(1e-5));
        }
        Table::Llama(c) => {
            push("embedding_length", number(c.dim));
            push("block_count", number(c.layers));
            push("feed_forward_length", number(c.hidden));
            push("attention.head_count", number(c.heads));
            push("attention.head_count_kv", number(c.kv_heads()));
            push("attention.key_length", number(c.head_dim()));
            push("attention.value_length", number(c.head_dim()));
            push("attention.layer_norm_rms_epsilon", Value::F32(c.norm_epsilon));
            push("rope.dimension_count", number(c.head_dim()));
            push("rope.freq_base", Value::F32(c.rope_base as f32));
            match c.rope_scaling {
                RopeScaling::Default | RopeScaling::Llama3 { .. } => {}
                RopeScaling::Linear { factor } => {
                    push("rope.scaling.type", Value::string("linear"));
                    push("rope.scaling.factor", Value::F32(factor as f32));
                }
                RopeScaling::Yarn { factor, original_max_position_embeddings, beta_fast, beta_slow, attention_factor } => {
                    push("rope.scaling.type", Value::string("yarn"));
                    push("rope.scaling.factor", Value::F32(factor as f32));
                    push("rope.scaling.original_context_length", number(original_max_position_embeddings));
                    push("rope.scaling.yarn_beta_fast", Value::F32(beta_fast as f32));
                    push("rope.scaling.yarn_beta_slow", Value::F32(beta_slow as f32));
                    if let Some(by) = attention_factor {
                        push("rope.scaling.attn_factor", Value::F32((by / (0.1 * factor.ln() + 1.0)) as f32));
                    }
                }
            }
        }
    }
    all
}
