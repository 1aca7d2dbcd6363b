//! The configuration of a model from a `config.json` of `transformers`.

use primal_device::grid::{INT4, ScaleForm};
use serde_json::{Map, Value};

use super::source::unsupported;
use super::table::{Table, context_of};
use crate::config::{GptConfig, LlamaConfig, Tokenizer};
use crate::files::hugging_face::ModelFolder;
use crate::nn::embedding::Embeddings;
use crate::nn::rotary::RopeScaling;
use crate::ops::rope::RotaryPairs;
use crate::{Error, Result};

/// Keys of the configuration.
struct Keys<'a> {
    subject: String,
    map: &'a Map<String, Value>,
}

impl Keys<'_> {
    fn bad(&self, key: &str, expected: impl ToString, found: impl ToString) -> Error {
        let hint = "give a model that has it so: others compute something else";
        Error::invalid(format!("{}: {key}", self.subject), expected, found, hint)
    }

    /// A value that is there and not null.
    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn optional(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.as_u64().filter(|&n| n <= u64::from(u32::MAX));
        number.map(|n| Some(n as usize)).ok_or_else(|| self.bad(key, "a whole number", value))
    }

    fn number(&self, key: &str) -> Result<usize> {
        self.optional(key)?.ok_or_else(|| self.bad(key, "a whole number", "no such key"))
    }

    fn float(&self, key: &str, default: f64) -> Result<f64> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_f64().ok_or_else(|| self.bad(key, "a number", value)),
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.bad(key, "true or false", value)),
        }
    }

    /// Requires that a flag is missing or has this value.
    fn require(&self, key: &str, expected: bool) -> Result<()> {
        if self.flag(key, expected)? == expected { Ok(()) } else { Err(self.bad(key, expected, !expected)) }
    }

    fn require_name(&self, key: &str, known: &[&str]) -> Result<()> {
        match self.get(key) {
            Some(value) if !value.as_str().is_some_and(|name| known.contains(&name)) => Err(self.bad(key, known.join(" or "), value)),
            _ => Ok(()),
        }
    }
}

/// The table of the model; `vocab` is the number of rows of its table of embeddings.
///
/// # Errors
/// An architecture or a key that is not supported, which is named.
pub fn table(folder: &ModelFolder, vocab: usize) -> Result<Table> {
    let path = folder.path.join("config.json");
    let keys = Keys { subject: path.display().to_string(), map: &folder.config };
    let class = folder.class().unwrap_or("no `architectures`");
    if keys.get("quantization_config").is_some() {
        return Err(keys.bad("quantization_config", "none: weights in floats", "one"));
    }
    let tokenizer = Tokenizer::by_name(&format!("stored:{vocab}"));
    let tokenizer = tokenizer.ok_or_else(|| keys.bad("vocab_size", "1 to 1048576 tokens", vocab))?;
    match class {
        "LlamaForCausalLM" | "MistralForCausalLM" | "Qwen2ForCausalLM" | "Qwen3ForCausalLM" => {
            llama(&keys, class, tokenizer).map(Table::Llama)
        }
        "GPT2LMHeadModel" => gpt(&keys, tokenizer).map(Table::Gpt),
        other => Err(unsupported(&path, other)),
    }
}

fn llama(keys: &Keys, class: &str, tokenizer: Tokenizer) -> Result<LlamaConfig> {
    let (dim, heads, context) = (keys.number("hidden_size")?, keys.number("num_attention_heads")?, keys.number("max_position_embeddings")?);
    let standard = if class == "Qwen3ForCausalLM" { Some(128) } else { None };
    let head_dim = match keys.optional("head_dim")?.or(standard) {
        Some(width) => width,
        None if heads > 0 && dim.is_multiple_of(heads) => dim / heads,
        None => return Err(keys.bad("num_attention_heads", format!("a divisor of hidden_size = {dim}"), heads)),
    };
    keys.require_name("hidden_act", &["silu", "swish"])?;
    ["attention_bias", "mlp_bias"].iter().try_for_each(|key| keys.require(key, false))?;
    if keys.float("partial_rotary_factor", 1.0)? != 1.0 {
        return Err(keys.bad("partial_rotary_factor", 1, &keys.map["partial_rotary_factor"]));
    }
    require_no_window(keys, class, context)?;
    let (rope_base, rope_scaling) = rotary(keys)?;
    let standard_heads = if class == "Qwen2ForCausalLM" || class == "Qwen3ForCausalLM" { 32 } else { heads };
    let kv_heads = keys.optional("num_key_value_heads")?.unwrap_or(if class == "MistralForCausalLM" { 8 } else { standard_heads });
    Ok(LlamaConfig {
        vocab: None,
        architecture: Default::default(),
        dim,
        layers: keys.number("num_hidden_layers")?,
        heads,
        kv_heads: Some(kv_heads).filter(|&kv| kv != heads),
        head_dim: Some(head_dim).filter(|width| width * heads != dim),
        hidden: keys.number("intermediate_size")?,
        context: context_of(context),
        tokenizer,
        rope_base,
        rope_scaling,
        rotary: RotaryPairs::Halves,
        norm_epsilon: keys.float("rms_norm_eps", 1e-6)? as f32,
        qkv_biases: class == "Qwen2ForCausalLM",
        qk_norms: class == "Qwen3ForCausalLM",
        tied: keys.flag("tie_word_embeddings", false)?,
        embeddings: Embeddings::Matrix,
        grid: &INT4,
        scales: ScaleForm::Group32,
    })
}

/// Each token sees all earlier ones.
fn require_no_window(keys: &Keys, class: &str, context: usize) -> Result<()> {
    let sliding = |value: &&Value| value.as_str() != Some("full_attention");
    if let Some(layer) = keys.get("layer_types").and_then(|layers| layers.as_array()?.iter().find(sliding)) {
        return Err(keys.bad("layer_types", "full_attention in all layers", layer));
    }
    let is_used = keys.flag("use_sliding_window", class == "MistralForCausalLM")?;
    let window = keys.optional("sliding_window")?.filter(|&window| is_used && window < context);
    window.map_or(Ok(()), |window| {
        Err(keys.bad("sliding_window", format!("none below max_position_embeddings = {context}: each token sees all earlier ones"), window))
    })
}

/// Base and scaling, by keys of their own or together in `rope_parameters`.
fn rotary(keys: &Keys) -> Result<(f64, RopeScaling)> {
    let (key, together) = match keys.get("rope_parameters") {
        Some(parameters) => ("rope_parameters", Some(parameters)),
        None => ("rope_scaling", keys.get("rope_scaling")),
    };
    let scaling = together.map_or(Ok(RopeScaling::Default), |value| {
        let mut value = value.clone();
        // As transformers has it.
        let context = keys.get("max_position_embeddings").cloned();
        if let (Some(map), Some(context)) = (value.as_object_mut(), context)
            && map.get("original_max_position_embeddings").is_none_or(serde_json::Value::is_null)
            && ["rope_type", "type"].iter().any(|key| map.get(*key).and_then(serde_json::Value::as_str) == Some("yarn"))
        {
            map.insert("original_max_position_embeddings".into(), context);
        }
        serde_json::from_value(value)
    });
    let scaling = scaling.map_err(|error| keys.bad(key, "a scaling of kind default, linear, llama3 or yarn", error))?;
    let base = together.and_then(|together| together.get("rope_theta")?.as_f64());
    Ok((base.map_or_else(|| keys.float("rope_theta", 10_000.0), Ok)?, scaling))
}

fn gpt(keys: &Keys, tokenizer: Tokenizer) -> Result<GptConfig> {
    let dim = keys.number("n_embd")?;
    keys.require_name("activation_function", &["gelu_new", "gelu_pytorch_tanh", "gelu_fast"])?;
    keys.require("scale_attn_weights", true)?;
    keys.require("scale_attn_by_inverse_layer_idx", false)?;
    keys.require("add_cross_attention", false)?;
    let (inner, epsilon) = (keys.optional("n_inner")?.unwrap_or(4 * dim), keys.float("layer_norm_epsilon", 1e-5)?);
    if inner != 4 * dim {
        return Err(keys.bad("n_inner", format!("{}, four times n_embd", 4 * dim), inner));
    }
    if epsilon != 1e-5 {
        return Err(keys.bad("layer_norm_epsilon", "1e-5", epsilon));
    }
    Ok(GptConfig {
        architecture: Default::default(),
        dim,
        layers: keys.number("n_layer")?,
        heads: keys.number("n_head")?,
        context: keys.optional("n_positions")?.map_or_else(|| keys.number("n_ctx"), Ok)?,
        tokenizer,
        biases: true,
        tied: keys.flag("tie_word_embeddings", true)?,
        embeddings: Embeddings::Matrix,
        grid: &INT4,
        last_grid: None,
        scales: ScaleForm::Group32,
    })
}
