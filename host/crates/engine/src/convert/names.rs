//! Parameters here, in GGUF files (`gguf-py/gguf/constants.py` of llama.cpp) and in those of Hugging Face (`transformers`).

use super::table::Table;

/// Where another program has a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name of the tensor.
    pub name: String,
    /// Which third of its rows the parameter is, where queries, keys and values lie in one tensor.
    pub third: Option<usize>,
    /// Whether rows here are columns there.
    pub is_transposed: bool,
}

/// Whose names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// GGUF.
    Gguf,
    /// `transformers`.
    HuggingFace,
}

/// Name here, in GGUF, in `transformers`.
type Row = (&'static str, &'static str, &'static str);

const LLAMA: &[Row] =
    &[("embedding.tokens", "token_embd", "model.embed_tokens"), ("norm", "output_norm", "model.norm"), ("head", "output", "lm_head")];

const LLAMA_BLOCK: &[Row] = &[
    ("norm1", "attn_norm", "input_layernorm"),
    ("attention.q", "attn_q", "self_attn.q_proj"),
    ("attention.k", "attn_k", "self_attn.k_proj"),
    ("attention.v", "attn_v", "self_attn.v_proj"),
    ("attention.o", "attn_output", "self_attn.o_proj"),
    ("attention.q_norm", "attn_q_norm", "self_attn.q_norm"),
    ("attention.k_norm", "attn_k_norm", "self_attn.k_norm"),
    ("norm2", "ffn_norm", "post_attention_layernorm"),
    ("mlp.gate", "ffn_gate", "mlp.gate_proj"),
    ("mlp.up", "ffn_up", "mlp.up_proj"),
    ("mlp.down", "ffn_down", "mlp.down_proj"),
];

const GPT2: &[Row] = &[
    ("embedding.tokens", "token_embd", "transformer.wte"),
    ("embedding.positions", "position_embd", "transformer.wpe"),
    ("norm", "output_norm", "transformer.ln_f"),
    ("head", "output", "lm_head"),
];

const GPT2_BLOCK: &[Row] = &[
    ("norm1", "attn_norm", "ln_1"),
    ("attention.q", "attn_qkv", "attn.c_attn"),
    ("attention.k", "attn_qkv", "attn.c_attn"),
    ("attention.v", "attn_qkv", "attn.c_attn"),
    ("attention.o", "attn_output", "attn.c_proj"),
    ("norm2", "ffn_norm", "ln_2"),
    ("mlp.fc1", "ffn_up", "mlp.c_fc"),
    ("mlp.fc2", "ffn_down", "mlp.c_proj"),
];

/// Where the parameter `ours` is, a matrix or a vector of a model with such a table.
///
/// # Panics
/// If the model has no such parameter.
pub fn place(table: &Table, style: Style, ours: &str) -> Place {
    let is_gpt = matches!(table, Table::Gpt(_));
    // What is left of the name behind the layer's.
    let (base, part) = match ours.rsplit_once('.') {
        Some((base, "gamma")) => (base, "weight"),
        Some((base, "beta" | "bias")) => (base, "bias"),
        _ => (ours, "weight"),
    };
    let block = base.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
    let (rows, suffix) = match (is_gpt, block) {
        (false, None) => (LLAMA, base),
        (false, Some((_, suffix))) => (LLAMA_BLOCK, suffix),
        (true, None) => (GPT2, base),
        (true, Some((_, suffix))) => (GPT2_BLOCK, suffix),
    };
    let row = rows.iter().find(|(name, ..)| *name == suffix).unwrap_or_else(|| panic!("a parameter {ours} without a name elsewhere"));
    let name = match (style, block) {
        (Style::Gguf, None) => format!("{}.{part}", row.1),
        (Style::Gguf, Some((i, _))) => format!("blk.{i}.{}.{part}", row.1),
        (Style::HuggingFace, None) => format!("{}.{part}", row.2),
        (Style::HuggingFace, Some((i, _))) => {
            let prefix = if is_gpt { "transformer.h" } else { "model.layers" };
            format!("{prefix}.{i}.{}.{part}", row.2)
        }
    };
    let third = match suffix {
        _ if !is_gpt => None,
        "attention.q" => Some(0),
        "attention.k" => Some(1),
        "attention.v" => Some(2),
        _ => None,
    };
    // `Conv1D` of transformers.
    let is_linear = !suffix.starts_with("norm") && part == "weight";
    Place { name, third, is_transposed: is_gpt && style == Style::HuggingFace && block.is_some() && is_linear }
}
