//! The configuration of a model from the metadata of a GGUF file, as llama.cpp reads it (`llama-model.cpp`, `load_hparams`).

use primal_device::grid::{INT4, ScaleForm};

use super::source::unsupported;
use super::table::{Table, context_of};
use crate::config::{GptConfig, LlamaConfig, Tokenizer};
use crate::files::TensorFile;
use crate::files::gguf::{Gguf, Value};
use crate::nn::embedding::Embeddings;
use crate::nn::rotary::{RopeScaling, Rotary};
use crate::ops::rope::RotaryPairs;
use crate::{Error, Result};

/// Factors by which the frequencies of pairs are divided, in models with Llama 3's scaling.
pub const FACTORS: &str = "rope_freqs.weight";
const TOKENS: &str = "token_embd.weight";
const HEAD: &str = "output.weight";

/// Keys of an architecture.
struct Keys<'a> {
    gguf: &'a Gguf,
    architecture: &'a str,
}

impl Keys<'_> {
    fn bad(&self, key: &str, expected: impl ToString, found: impl ToString) -> Error {
        let subject = format!("{}: {}.{key}", self.gguf.path().display(), self.architecture);
        Error::invalid(subject, expected, found, "get another file of the model, or the model from Hugging Face")
    }

    /// A whole number; of an array the value that all layers have.
    fn optional(&self, key: &str) -> Result<Option<usize>> {
        let whole = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|&n| n <= u32::MAX as usize);
        let Some(value) = self.gguf.of_architecture(key) else { return Ok(None) };
        let number = match &value {
            Value::Array(array) => {
                let mut numbers = array.iter();
                let first = numbers.next().as_ref().and_then(whole);
                if numbers.any(|number| whole(&number) != first) {
                    return Err(self.bad(key, "the same number for all layers", format!("different ones, {value}")));
                }
                first
            }
            value => whole(value),
        };
        number.map(Some).ok_or_else(|| self.bad(key, "a whole number", format!("{value} ({})", value.kind())))
    }

    fn number(&self, key: &str) -> Result<usize> {
        self.optional(key)?.ok_or_else(|| self.bad(key, "a whole number", "no such key"))
    }

    /// A positive number.
    fn positive(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.gguf.of_architecture(key) else { return Ok(None) };
        let number = value.as_f64().filter(|&number| number > 0.0 && number.is_finite());
        number.map(Some).ok_or_else(|| self.bad(key, "a positive number", format!("{value} ({})", value.kind())))
    }

    /// Requires that a key is missing or has this value.
    fn require(&self, key: &str, expected: usize) -> Result<()> {
        match self.optional(key)? {
            Some(found) if found != expected => Err(self.bad(key, expected, found)),
            _ => Ok(()),
        }
    }
}

/// The table of the model, whose tensors say what metadata do not.
///
/// # Errors
/// An architecture or a key that is not supported, which is named.
pub fn table(gguf: &Gguf) -> Result<Table> {
    let architecture = gguf.architecture()?;
    let keys = Keys { gguf, architecture };
    let vocab = gguf.view(TOKENS)?.shape.first().copied().unwrap_or(0);
    let tokens = gguf.array("tokenizer.ggml.tokens")?.len();
    if tokens > vocab {
        return Err(keys.bad("vocab_size", format!("at least {tokens} rows of `{TOKENS}`, one for each token"), vocab));
    }
    let tokenizer = Tokenizer::by_name(&format!("stored:{vocab}"));
    let tokenizer = tokenizer.ok_or_else(|| keys.bad("vocab_size", "a vocabulary of 1 to 1048576 tokens", vocab))?;
    match architecture {
        "llama" | "qwen2" | "qwen3" => llama(&keys, tokenizer).map(Table::Llama),
        "gpt2" => gpt(&keys, tokenizer).map(Table::Gpt),
        other => Err(unsupported(gguf.path(), other)),
    }
}

fn llama(keys: &Keys, tokenizer: Tokenizer) -> Result<LlamaConfig> {
    let dim = keys.number("embedding_length")?;
    let heads = keys.number("attention.head_count")?;
    let head_dim = match keys.optional("attention.key_length")? {
        Some(width) => width,
        None if heads > 0 && dim.is_multiple_of(heads) => dim / heads,
        None => return Err(keys.bad("attention.head_count", format!("a divisor of {dim}"), heads)),
    };
    keys.require("attention.value_length", head_dim)?;
    keys.require("rope.dimension_count", head_dim)?;
    keys.require("expert_count", 0)?;
    let context = keys.number("context_length")?;
    if let Some(window) = keys.optional("attention.sliding_window")?.filter(|&window| window > 0 && window < context) {
        return Err(keys.bad(
            "attention.sliding_window",
            format!("none below the context of {context}: each token sees all earlier ones"),
            window,
        ));
    }
    let architecture = keys.architecture;
    let rope_base = keys.positive("rope.freq_base")?.unwrap_or(10_000.0);
    let epsilon = keys.positive("attention.layer_norm_rms_epsilon")?;
    Ok(LlamaConfig {
        vocab: None,
        architecture: Default::default(),
        dim,
        layers: keys.number("block_count")?,
        heads,
        kv_heads: keys.optional("attention.head_count_kv")?.filter(|&kv| kv != heads),
        head_dim: Some(head_dim).filter(|width| width * heads != dim),
        hidden: keys.number("feed_forward_length")?,
        context: context_of(context),
        tokenizer,
        rope_base,
        rope_scaling: scaling(keys, Rotary { base: rope_base, pairs: head_dim / 2, scaling: RopeScaling::Default }, context)?,
        // The rows of queries and keys of `llama` are in another order than in Hugging Face's files.
        rotary: if architecture == "llama" { RotaryPairs::Adjacent } else { RotaryPairs::Halves },
        norm_epsilon: epsilon.ok_or_else(|| keys.bad("attention.layer_norm_rms_epsilon", "a number", "no such key"))? as f32,
        qkv_biases: keys.gguf.find("blk.0.attn_q.bias").is_some(),
        qk_norms: architecture == "qwen3",
        tied: keys.gguf.find(HEAD).is_none(),
        embeddings: Embeddings::Matrix,
        grid: &INT4,
        scales: ScaleForm::Group32,
    })
}

fn scaling(keys: &Keys, rotary: Rotary, context: usize) -> Result<RopeScaling> {
    if let Some(view) = keys.gguf.find(FACTORS) {
        let given = view.floats()?.unwrap_or_default();
        return llama3(rotary, &given).ok_or_else(|| {
            let subject = format!("{}: tensor {FACTORS}", keys.gguf.path().display());
            let expected = "factors of Llama 3's scaling, with 1 and 4 turns for low and high frequencies";
            Error::invalid(subject, expected, "others", "get the model from Hugging Face, where its configuration says how they come about")
        });
    }
    let key = |key: &str| keys.positive(&format!("rope.scaling.{key}"));
    // A factor of zero says that there is none.
    let is_none = |name: &&str| keys.gguf.of_architecture(name).is_some_and(|value| value.as_f64() == Some(0.0));
    let factors = ["rope.scaling.factor", "rope.scale_linear"];
    let factor = factors.iter().filter(|name| !is_none(name)).find_map(|name| keys.positive(name).transpose()).transpose()?;
    let kind = keys.gguf.of_architecture("rope.scaling.type");
    let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or("linear");
    match (kind, factor) {
        ("none", _) | ("linear", None | Some(1.0)) => Ok(RopeScaling::Default),
        ("linear", Some(factor)) => Ok(RopeScaling::Linear { factor }),
        ("yarn", Some(factor)) => Ok(RopeScaling::Yarn {
            factor,
            original_max_position_embeddings: keys.optional("rope.scaling.original_context_length")?.unwrap_or(context).max(1),
            beta_fast: key("yarn_beta_fast")?.unwrap_or(32.0),
            beta_slow: key("yarn_beta_slow")?.unwrap_or(1.0),
            attention_factor: key("attn_factor")?.filter(|&by| by != 1.0).map(|by| by * (0.1 * factor.ln() + 1.0)),
        }),
        (kind, factor) => {
            let found = format!("{kind:?} with the factor {factor:?}");
            Err(keys.bad("rope.scaling.type", "none, linear or yarn with a positive factor, or Llama 3's by a tensor of factors", found))
        }
    }
}

/// Pairs that turn less often than this within the original context are stretched, those that turn more often than that stay: as all of Llama's models have it.
const LOW_FREQUENCY: f64 = 1.0;
const HIGH_FREQUENCY: f64 = 4.0;

/// The scaling whose factors these are.
fn llama3(rotary: Rotary, given: &[f32]) -> Option<RopeScaling> {
    if given.len() != rotary.pairs {
        return None;
    }
    // The slowest pair is stretched by all of it.
    let factor = f64::from(given.last()?.round());
    let plain = rotary.frequencies();
    // How often a pair turns within the original context is seen in one that is stretched by a part: best halfway. 8192 is Llama's own.
    let parts = given.iter().map(|&by| (1.0 / f64::from(by) - 1.0 / factor) / (1.0 - 1.0 / factor));
    let halfway = parts.zip(&plain).min_by(|(a, _), (b, _)| (a - 0.5).abs().total_cmp(&(b - 0.5).abs()));
    let (part, frequency) = halfway.filter(|(part, _)| part.is_finite())?;
    let context = (LOW_FREQUENCY + part * (HIGH_FREQUENCY - LOW_FREQUENCY)) * std::f64::consts::TAU / f64::from(*frequency);
    [8192, context.round() as usize].into_iter().find_map(|original_max_position_embeddings| {
        let (low_freq_factor, high_freq_factor) = (LOW_FREQUENCY, HIGH_FREQUENCY);
        let scaling = RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings };
        let scaled = Rotary { scaling, ..rotary }.frequencies();
        let is_near = |((plain, scaled), given): ((&f32, f32), &f32)| (plain / scaled - given).abs() <= 1e-4 * given;
        let same = factor >= 1.0 && original_max_position_embeddings > 0 && plain.iter().zip(scaled).zip(given).all(is_near);
        same.then_some(scaling)
    })
}

fn gpt(keys: &Keys, tokenizer: Tokenizer) -> Result<GptConfig> {
    let dim = keys.number("embedding_length")?;
    keys.require("feed_forward_length", 4 * dim)?;
    let epsilon = keys.positive("attention.layer_norm_epsilon")?.unwrap_or(1e-5);
    if (epsilon - 1e-5).abs() > 1e-9 {
        return Err(keys.bad("attention.layer_norm_epsilon", "1e-5", epsilon));
    }
    Ok(GptConfig {
        architecture: Default::default(),
        dim,
        layers: keys.number("block_count")?,
        heads: keys.number("attention.head_count")?,
        context: keys.number("context_length")?,
        tokenizer,
        biases: true,
        tied: keys.gguf.find(HEAD).is_none(),
        embeddings: Embeddings::Matrix,
        grid: &INT4,
        last_grid: None,
        scales: ScaleForm::Group32,
    })
}
