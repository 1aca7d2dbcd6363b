//! GPT-2 (Radford et al. 2019), with or without its biases.

use super::causal::{Causal, CausalShape, CausalTable};
use crate::config::GptConfig;
use crate::nn::attention::{Biases, Heads};
use crate::nn::block::BlockShape;
use crate::nn::mlp::MlpKind;
use crate::nn::norm::NormKind;

/// A GPT.
pub type Gpt = Causal<GptConfig>;

impl CausalTable for GptConfig {
    fn shape(&self) -> CausalShape {
        let biases = if self.biases { Biases::All } else { Biases::None };
        CausalShape {
            layers: self.layers,
            block: BlockShape {
                dim: self.dim,
                norm: NormKind::Layer,
                heads: Heads { biases, ..Heads::plain(self.dim, self.heads, true) },
                hidden: 4 * self.dim,
                mlp: MlpKind::Plain { kernel: 1, biases: self.biases },
                rotary: None,
            },
            rotary: None,
            tied: self.tied,
            embeddings: self.embeddings,
            grids: [self.grid, self.last_grid()],
        }
    }
}
