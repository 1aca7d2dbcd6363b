//! The configuration of GPTs.

use primal_device::grid::{Grid, ScaleForm};
use serde::{Deserialize, Serialize};

use super::by_name::{grid, optional_grid, scales, tokenizer};
use super::key::Architecture;
use super::table::{Check, Family, ModelTable, TextTable, is_default, is_row};
use super::tokenizer::Tokenizer;
use super::train::TrainConfig;
use crate::Result;
use crate::memory::Act;
use crate::nn::embedding::Embeddings;

/// A GPT-2-like decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GptConfig {
    /// `gpt`.
    #[serde(default)]
    pub architecture: Architecture<Self>,
    /// Width.
    pub dim: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads; they divide `dim`.
    pub heads: usize,
    /// Longest sequence, in tokens.
    pub context: usize,
    /// Text to tokens.
    #[serde(with = "tokenizer")]
    pub tokenizer: Tokenizer,
    /// Whether linear layers but the head have biases, as GPT-2's have.
    #[serde(default, skip_serializing_if = "is_default")]
    pub biases: bool,
    /// Whether the head is the table of embeddings, as GPT-2's is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tied: bool,
    /// How the table of embeddings of tokens is kept.
    #[serde(default, skip_serializing_if = "is_default")]
    pub embeddings: Embeddings,
    /// The grid of all linear layers.
    #[serde(with = "grid")]
    pub grid: &'static Grid,
    /// The grid of the last block, if another.
    #[serde(default, with = "optional_grid", skip_serializing_if = "Option::is_none")]
    pub last_grid: Option<&'static Grid>,
    /// What the weights on grids have scales for.
    #[serde(default, with = "scales", skip_serializing_if = "is_row")]
    pub scales: ScaleForm,
}

impl GptConfig {
    /// The grid of the last block.
    pub fn last_grid(&self) -> &'static Grid {
        self.last_grid.unwrap_or(self.grid)
    }
}

impl ModelTable for GptConfig {
    const ARCHITECTURE: &'static str = "gpt";
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
        check.width(self.dim, self.heads)?;
        check.that((1..=1024).contains(&self.layers), "model.layers", "1 to 1024", &self.layers)?;
        check.scales(self.scales, &[("model.grid", self.grid), ("model.last_grid", self.last_grid())])?;
        let (act, are_read) = (t.activations, self.embeddings == Embeddings::Matrix && !t.optimizer.is_float());
        check.that(act == Act::F32 || !are_read, "train.activations", "f32 where embeddings are a matrix", &act.name())?;
        self.check_text(t, check)
    }
}

impl TextTable for GptConfig {
    fn context(&self) -> usize {
        self.context
    }

    fn tokenizer(&self) -> Tokenizer {
        self.tokenizer
    }

    fn tokenizer_mut(&mut self) -> &mut Tokenizer {
        &mut self.tokenizer
    }

    fn grid_mut(&mut self) -> &mut &'static Grid {
        &mut self.grid
    }
}
