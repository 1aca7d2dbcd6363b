//! The configuration of Llama and the models that are built like it.

use primal_device::grid::{Grid, ScaleForm};
use serde::{Deserialize, Serialize};

use super::by_name::{grid, scales, tokenizer};
use super::key::Architecture;
use super::table::{Check, Family, ModelTable, TextTable, is_default, is_row};
use super::tokenizer::Tokenizer;
use super::train::TrainConfig;
use crate::Result;
use crate::memory::Act;
use crate::nn::embedding::Embeddings;
use crate::nn::rotary::RopeScaling;
use crate::ops::rope::RotaryPairs;

/// A Llama-like decoder (Touvron et al. 2023): norms by root mean square, rotary positions, grouped-query attention (Ainslie et al. 2023) and a gated
/// MLP. With `qkv_biases` it is Qwen2, with `qk_norms` Qwen3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlamaConfig {
    /// `llama`.
    #[serde(default)]
    pub architecture: Architecture<Self>,
    /// Width of the residual stream.
    pub dim: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values; they divide `heads`. As many, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_heads: Option<usize>,
    /// Width of a head, `dim / heads` if not given; even.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Width between the layers of the MLP.
    pub hidden: usize,
    /// Longest sequence, in tokens.
    pub context: usize,
    /// Text to tokens.
    #[serde(with = "tokenizer")]
    pub tokenizer: Tokenizer,
    /// Rows of the table of embeddings, if more than there are tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocab: Option<usize>,
    /// Pair i of a head turns by `rope_base^(−2i/head_dim)` radians a position.
    #[serde(default = "rope_base")]
    pub rope_base: f64,
    /// How rotary positions are stretched.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rope_scaling: RopeScaling,
    /// Which values of a head turn together: `halves` as in Hugging Face's files, `adjacent` as in GGUF files of Llama.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rotary: RotaryPairs,
    /// ε of all norms.
    #[serde(default = "norm_epsilon")]
    pub norm_epsilon: f32,
    /// Whether queries, keys and values have biases.
    #[serde(default, skip_serializing_if = "is_default")]
    pub qkv_biases: bool,
    /// Whether the heads of queries and keys are normalised.
    #[serde(default, skip_serializing_if = "is_default")]
    pub qk_norms: bool,
    /// Whether the head is the table of embeddings.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tied: bool,
    /// How the table of embeddings is kept.
    #[serde(default, skip_serializing_if = "is_default")]
    pub embeddings: Embeddings,
    /// The grid of all linear layers.
    #[serde(with = "grid")]
    pub grid: &'static Grid,
    /// What the weights on grids have scales for.
    #[serde(default, with = "scales", skip_serializing_if = "is_row")]
    pub scales: ScaleForm,
}

fn rope_base() -> f64 {
    10_000.0
}

fn norm_epsilon() -> f32 {
    1e-5
}

impl LlamaConfig {
    /// Heads of keys and values.
    pub fn kv_heads(&self) -> usize {
        self.kv_heads.unwrap_or(self.heads)
    }

    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.dim / self.heads)
    }
}

impl ModelTable for LlamaConfig {
    const ARCHITECTURE: &'static str = "llama";
    const FAMILY: Family = Family::Text;

    fn scales(&self) -> ScaleForm {
        self.scales
    }

    fn scales_mut(&mut self) -> &mut ScaleForm {
        &mut self.scales
    }

    fn complete(&self, train: &mut TrainConfig) {
        self.complete_text(train);
    }

    fn embeddings_mut(&mut self) -> Option<&mut Embeddings> {
        Some(&mut self.embeddings)
    }

    fn fine_tuning(&self) -> TrainConfig {
        self.fine_tuning_text()
    }

    fn check(&self, t: &TrainConfig, check: &Check) -> Result<()> {
        check.that((1..=65536).contains(&self.dim), "model.dim", "1 to 65536", &self.dim)?;
        check.that((1..=1024).contains(&self.layers), "model.layers", "1 to 1024", &self.layers)?;
        check.that((1..=1024).contains(&self.heads), "model.heads", "1 to 1024", &self.heads)?;
        let (kv, width) = (self.kv_heads(), self.head_dim());
        check.that(kv > 0 && self.heads.is_multiple_of(kv), "model.kv_heads", &format!("a divisor of heads = {}", self.heads), &kv)?;
        let whole = self.head_dim.is_some() || self.dim.is_multiple_of(self.heads);
        check.that(whole, "model.heads", &format!("a divisor of dim = {}, or head_dim given", self.dim), &self.heads)?;
        check.that((2..=512).contains(&width) && width.is_multiple_of(2), "model.head_dim", "an even number from 2 to 512", &width)?;
        check.that((1..=1 << 20).contains(&self.hidden), "model.hidden", "1 to 1048576", &self.hidden)?;
        check.that(self.rope_base > 1.0 && self.rope_base.is_finite(), "model.rope_base", "a finite number above 1", &self.rope_base)?;
        let epsilon = self.norm_epsilon;
        check.that(epsilon > 0.0 && epsilon < 1.0, "model.norm_epsilon", "above 0, below 1", &epsilon)?;
        let tokens = self.tokenizer.vocab_size();
        check.that((tokens..=1 << 22).contains(&self.vocab()), "model.vocab", &format!("{tokens} tokens to 4194304"), &self.vocab())?;
        let act = t.activations;
        check.that(act == Act::F32, "train.activations", "f32: norms and positions of such models know no other form", &act.name())?;
        check.scales(self.scales, &[("model.grid", self.grid)])?;
        self.check_text(t, check)
    }
}

impl TextTable for LlamaConfig {
    fn context(&self) -> usize {
        self.context
    }

    fn tokenizer(&self) -> Tokenizer {
        self.tokenizer
    }

    fn vocab(&self) -> usize {
        self.vocab.unwrap_or(self.tokenizer.vocab_size())
    }

    fn tokenizer_mut(&mut self) -> &mut Tokenizer {
        &mut self.tokenizer
    }

    fn grid_mut(&mut self) -> &mut &'static Grid {
        &mut self.grid
    }
}
