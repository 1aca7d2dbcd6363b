//! The configuration of a model of any architecture that is converted.

use primal_device::grid::{Grid, ScaleForm};

use crate::Result;
use crate::config::{ConfigOf, GptConfig, LlamaConfig, MAX_CONTEXT, ModelTable, TextTable, Tokenizer, TrainConfig};
use crate::files::TensorFile;
use crate::models::causal::CausalLayers;
use crate::nn::embedding::Embeddings;
use crate::nn::kept;
use crate::nn::parameters::Specs;
use crate::train::state;

/// The `[model]` table of a configuration.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Table {
    Llama(LlamaConfig),
    Gpt(GptConfig),
}

impl Table {
    /// That of a file of this program.
    ///
    /// # Errors
    /// No configuration there, or one of another architecture.
    pub fn of(file: &dyn TensorFile) -> Result<Self> {
        match state::architecture(file)?.as_str() {
            GptConfig::ARCHITECTURE => Ok(Self::Gpt(state::config_of(file)?.model)),
            _ => Ok(Self::Llama(state::config_of(file)?.model)),
        }
    }

    /// All parameters, as a file without a word about them would have them.
    pub fn specs(&self) -> Specs {
        self.specs_of(false)
    }

    /// The same, or those of the float twin.
    fn specs_of(&self, float: bool) -> Specs {
        match self {
            Self::Llama(table) => CausalLayers::new(table, float).1,
            Self::Gpt(table) => CausalLayers::new(table, float).1,
        }
    }

    /// All parameters, as that file has them.
    ///
    /// # Errors
    /// What the file says of them makes no sense.
    pub fn specs_in(&self, file: &dyn TensorFile) -> Result<Specs> {
        let rule = match self {
            Self::Llama(_) => state::config_of::<LlamaConfig>(file)?.train.optimizer,
            Self::Gpt(_) => state::config_of::<GptConfig>(file)?.train.optimizer,
        };
        let mut specs = self.specs_of(rule.is_float());
        kept::apply(&mut specs, file)?;
        Ok(specs)
    }

    /// The configuration in TOML, checked; `origin` is where the table comes from.
    ///
    /// # Errors
    /// A value out of range.
    pub fn to_toml(&self, origin: &str) -> Result<String> {
        fn of<M: TextTable>(table: &M, origin: &str) -> Result<String> {
            let standard = TrainConfig::default();
            let train = TrainConfig { seq_len: standard.seq_len.min(table.context()), ..standard };
            let config = ConfigOf { model: table.clone(), train };
            config.check(origin)?;
            Ok(config.to_toml())
        }
        match self {
            Self::Llama(table) => of(table, origin),
            Self::Gpt(table) => of(table, origin),
        }
    }

    /// Longest sequence, in tokens.
    pub fn context(&self) -> usize {
        match self {
            Self::Llama(table) => table.context,
            Self::Gpt(table) => table.context,
        }
    }

    /// Rows of the table of embeddings: at least as many as the tokenizer has tokens.
    pub fn vocab(&self) -> usize {
        match self {
            Self::Llama(table) => TextTable::vocab(table),
            Self::Gpt(table) => TextTable::vocab(table),
        }
    }

    /// Text to tokens.
    pub fn tokenizer(&self) -> Tokenizer {
        match self {
            Self::Llama(table) => table.tokenizer,
            Self::Gpt(table) => table.tokenizer,
        }
    }

    /// Has the weights of most matrices on that grid.
    pub(super) fn set_grid(&mut self, grid: &'static Grid, scales: ScaleForm) {
        match self {
            Self::Llama(table) => (table.grid, table.scales, table.embeddings) = (grid, scales, Embeddings::Matrix),
            Self::Gpt(table) => {
                (table.grid, table.last_grid, table.scales, table.embeddings) = (grid, None, scales, Embeddings::Matrix);
            }
        }
    }

    /// Whether the head is the table of embeddings.
    pub fn is_tied(&self) -> bool {
        match self {
            Self::Llama(table) => table.tied,
            Self::Gpt(table) => table.tied,
        }
    }
}

/// The longest context of a model that is made for `tokens`.
pub(super) fn context_of(tokens: usize) -> usize {
    tokens.min(MAX_CONTEXT)
}
