//! What a `[model]` table is to those who read, check and change configurations.

use primal_device::grid::{Grid, ScaleForm};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::tokenizer::Tokenizer;
use super::train::TrainConfig;
use crate::nn::embedding::Embeddings;
use crate::{Error, Result};

/// Longest sequence of a model, in tokens or frames.
pub const MAX_CONTEXT: usize = 65536;

/// What a model is for: the commands that take it, and the flags that mean something to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Text, token by token.
    Text,
    /// From phones to spectrograms.
    Speech,
}

impl Family {
    /// For errors.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Text => "a text model",
            Self::Speech => "a voice",
        }
    }
}

/// The `[model]` table of a configuration. It has a field [`Architecture`](super::Architecture), so that every file says what it is of.
pub trait ModelTable: Clone + std::fmt::Debug + Serialize + DeserializeOwned + 'static {
    /// The value of the key `architecture`.
    const ARCHITECTURE: &'static str;
    /// What such a model is for.
    const FAMILY: Family;

    /// What the weights on grids have scales for.
    fn scales(&self) -> ScaleForm;

    /// As above, for a flag to change.
    fn scales_mut(&mut self) -> &mut ScaleForm;

    /// Sets what a new run must keep, and what a configuration need not say.
    fn complete(&self, _train: &mut TrainConfig) {}

    /// How the table of embeddings is kept, for a flag to change; `None` of models whose table is always of floats.
    fn embeddings_mut(&mut self) -> Option<&mut Embeddings> {
        None
    }

    /// How such a model that another program trained is trained on, unless flags say otherwise.
    fn fine_tuning(&self) -> TrainConfig {
        TrainConfig::default()
    }

    /// Checks the ranges of all values, and those of the training that depend on the model.
    ///
    /// # Errors
    /// The first value out of range.
    fn check(&self, train: &TrainConfig, check: &Check) -> Result<()>;
}

/// Whether scales are those that a configuration need not name.
pub(super) fn is_row(scales: &ScaleForm) -> bool {
    *scales == ScaleForm::Row
}

/// Whether a value is the one that a configuration need not name.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Tokens of a sequence when a model is trained on.
const FINE_TUNING_TOKENS: usize = 512;
/// Rows of logits held at a time by a new run.
const LOGIT_ROWS: usize = 1024;
/// Logits that a run held whose configuration does not say how many.
const LOGITS: usize = 8 << 20;

/// The `[model]` table of a text model.
pub trait TextTable: ModelTable {
    /// Longest sequence, in tokens.
    fn context(&self) -> usize;

    /// Text to tokens.
    fn tokenizer(&self) -> Tokenizer;

    /// Rows of the table of embeddings, and logits of a token.
    fn vocab(&self) -> usize {
        self.tokenizer().vocab_size()
    }

    /// Text to tokens, for a flag to change.
    fn tokenizer_mut(&mut self) -> &mut Tokenizer;

    /// The grid of linear layers, for a flag to change.
    fn grid_mut(&mut self) -> &mut &'static Grid;

    /// Rows of logits held at a time. They set the order in which gradients of the head are summed, so a run keeps its own: one without the key was
    /// begun before there was one.
    fn logit_rows(&self, train: &TrainConfig) -> usize {
        train.logit_rows.unwrap_or((LOGITS / self.vocab()).clamp(1, LOGIT_ROWS))
    }

    /// Sets what a new run must keep.
    fn complete_text(&self, train: &mut TrainConfig) {
        train.logit_rows.get_or_insert(LOGIT_ROWS);
    }

    /// How a text model that another program trained is trained on.
    fn fine_tuning_text(&self) -> TrainConfig {
        let seq_len = self.context().min(FINE_TUNING_TOKENS);
        TrainConfig {
            steps: 500,
            batch: 1,
            seq_len,
            warmup: 20,
            threshold: Some(0.52),
            trains_table: Some(false),
            validate_every: 50,
            validation_tokens: 8192,
            checkpoint_every: 50,
            ..TrainConfig::default()
        }
    }

    /// Checks what the training of every text model depends on.
    ///
    /// # Errors
    /// The first value out of range.
    fn check_text(&self, t: &TrainConfig, check: &Check) -> Result<()> {
        let context = self.context();
        check.that((1..=MAX_CONTEXT).contains(&context), "model.context", &format!("1 to {MAX_CONTEXT}"), &context)?;
        check.that((1..=65536).contains(&t.batch), "train.batch", "1 to 65536", &t.batch)?;
        if let Some(mark) = t.answers_after {
            let (key, bytes) = ("train.answers_after", self.tokenizer() == Tokenizer::Bytes);
            check.that(bytes, key, "model.tokenizer = \"bytes\" beside it", &self.tokenizer().name())?;
            check.that(mark.is_ascii() && mark != '\n', key, "an ASCII character that ends no line", &format!("{mark:?}"))?;
        }
        let rows = t.logit_rows.unwrap_or(1);
        check.that((1..=1 << 20).contains(&rows), "train.logit_rows", "1 to 1048576", &rows)?;
        check.that((1..=context).contains(&t.seq_len), "train.seq_len", &format!("1 to model.context = {context}"), &t.seq_len)
    }
}

/// Checks values of a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// The file or name, for errors.
    pub origin: &'a str,
}

impl Check<'_> {
    /// Requires that the value of `key` is `ok`.
    ///
    /// # Errors
    /// Bad input where it is not, which names `key`, `expected` and `found`.
    pub fn that(&self, ok: bool, key: &str, expected: &str, found: &dyn std::fmt::Display) -> Result<()> {
        let origin = self.origin;
        let hint = format!("change {key} in {origin}, or by its flag");
        if ok { Ok(()) } else { Err(Error::invalid(format!("{origin}: {key}"), expected, found, hint)) }
    }

    /// Checks that weights on these grids, by their keys, can have such scales.
    ///
    /// # Errors
    /// The first grid that cannot.
    pub fn scales(&self, scales: ScaleForm, grids: &[(&str, &Grid)]) -> Result<()> {
        for (key, grid) in grids {
            let expected = format!("a grid of numerators up to 127 with {} scales, which are steps in halves", scales.name());
            let found = format!("{}, with numerators up to {}", grid.name(), grid.largest_integer());
            self.that(scales.is_for(grid), key, &expected, &found)?;
        }
        Ok(())
    }

    /// Checks a width and the heads that divide it.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn width(&self, dim: usize, heads: usize) -> Result<()> {
        self.that((1..=16384).contains(&dim), "model.dim", "1 to 16384", &dim)?;
        self.that(heads > 0 && dim.is_multiple_of(heads.max(1)), "model.heads", &format!("a divisor of dim = {dim}"), &heads)
    }
}
