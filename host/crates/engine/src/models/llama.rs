//! Llama (Touvron et al. 2023), and what is built like it: SmolLM, TinyLlama, Qwen2, Qwen3.

use super::causal::{Causal, CausalShape, CausalTable};
use crate::config::LlamaConfig;
use crate::nn::attention::{Biases, Heads};
use crate::nn::block::BlockShape;
use crate::nn::mlp::MlpKind;
use crate::nn::norm::NormKind;
use crate::nn::rotary::Rotary;

/// A Llama-like model.
pub type Llama = Causal<LlamaConfig>;

impl CausalTable for LlamaConfig {
    fn shape(&self) -> CausalShape {
        let epsilon = self.norm_epsilon;
        let heads = Heads {
            count: self.heads,
            kv: self.kv_heads(),
            width: self.head_dim(),
            causal: true,
            rotary: Some(self.rotary),
            norms: self.qk_norms.then_some(epsilon),
            biases: if self.qkv_biases { Biases::Inputs } else { Biases::None },
        };
        let norm = NormKind::Rms { epsilon };
        CausalShape {
            layers: self.layers,
            block: BlockShape { dim: self.dim, norm, heads, hidden: self.hidden, mlp: MlpKind::Gated, rotary: None },
            rotary: Some(Rotary { base: self.rope_base, pairs: self.head_dim() / 2, scaling: self.rope_scaling }),
            tied: self.tied,
            embeddings: self.embeddings,
            grids: [self.grid; 2],
        }
    }
}
