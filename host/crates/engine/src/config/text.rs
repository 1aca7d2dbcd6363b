//! The configuration of text models.

use primal_device::grid::GridId;
use serde::{Deserialize, Serialize};

use super::by_name::{grid, optional_grid, tokenizer};
use super::{Check, ModelTable, Tokenizer, TrainConfig};
use crate::Result;

/// Longest sequence of a model, in tokens.
pub const MAX_CONTEXT: usize = 65536;

/// A GPT-2-like decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
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
    /// The grid of all linear layers.
    #[serde(with = "grid")]
    pub grid: GridId,
    /// The grid of the last block, if another.
    #[serde(default, with = "optional_grid", skip_serializing_if = "Option::is_none")]
    pub last_grid: Option<GridId>,
}

/// Rows of logits held at a time by a new run.
const LOGIT_ROWS: usize = 1024;
/// Logits that a run held whose configuration does not say how many.
const LOGITS: usize = 8 << 20;

impl ModelConfig {
    /// Rows of logits held at a time. They set the order in which gradients of the head are summed, so a run keeps its own: one without the key was
    /// begun before there was one.
    pub fn logit_rows(&self, train: &TrainConfig) -> usize {
        train.logit_rows.unwrap_or((LOGITS / self.tokenizer.vocab_size()).clamp(1, LOGIT_ROWS))
    }

    /// The grid of the last block.
    pub fn last_grid(&self) -> GridId {
        self.last_grid.unwrap_or(self.grid)
    }
}

impl ModelTable for ModelConfig {
    const KIND: &'static str = "a text model";

    fn complete(&self, train: &mut TrainConfig) {
        train.logit_rows.get_or_insert(LOGIT_ROWS);
    }

    fn check(&self, t: &TrainConfig, check: &Check) -> Result<()> {
        check.width(self.dim, self.heads)?;
        check.that((1..=1024).contains(&self.layers), "model.layers", "1 to 1024", &self.layers)?;
        check.that((1..=MAX_CONTEXT).contains(&self.context), "model.context", &format!("1 to {MAX_CONTEXT}"), &self.context)?;
        check.that((1..=65536).contains(&t.batch), "train.batch", "1 to 65536", &t.batch)?;
        let rows = t.logit_rows.unwrap_or(1);
        check.that((1..=1 << 20).contains(&rows), "train.logit_rows", "1 to 1048576", &rows)?;
        let context = self.context;
        check.that((1..=context).contains(&t.seq_len), "train.seq_len", &format!("1 to model.context = {context}"), &t.seq_len)
    }
}
