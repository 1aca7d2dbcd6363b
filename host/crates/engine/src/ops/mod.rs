//! The ops, a folder each: `mod.rs` has the struct of named operands, with the formula, the shapes and what may be the same memory; `cpu.rs` and
//! `cuda.rs` have what each device does. A model runs one by [`Backend::run`](crate::backend::Backend::run): `b.run(Gelu { y, x })`.
//!
//! To add an op:
//! - a folder here, and below its `mod`, its `use`, and for each of its structs a line in the list of ops, without which it cannot be run;
//! - its kernels in `device/src/kernels/NAME.rs`, and there in `mod.rs` its `mod` and its line in `ALL`;
//! - a plain `f64` function in `verify/reference.rs`, and rows in a file of `verify/cases`, with a gradient check for a backward op: `tests/ops.rs`
//!   fails without them.

pub mod absolute_error;
pub mod adamw;
pub mod add;
pub mod attention;
pub mod bias;
pub mod cached_attention;
pub mod conv1d;
pub mod conv_transpose1d;
pub mod convert;
pub mod cross_entropy;
pub mod depthwise_conv1d;
pub mod embedding;
pub mod erf_gelu;
pub mod flip;
pub mod gather;
pub mod gelu;
pub mod layer_norm;
pub mod leaky_relu;
pub mod level_histogram;
pub mod linear;
pub mod lookup;
pub mod lut_gemm;
pub mod lut_gemv;
pub mod move_scales;
pub mod poltergeist;
pub mod quantize;
pub mod reduce;
pub mod rescale_rows;
pub mod rms_norm;
pub mod rope;
pub mod scale_gradient;
pub mod squared_error;
pub mod swiglu;
pub mod tanh;
pub mod vote;

pub use absolute_error::AbsoluteError;
pub use adamw::{AdamW, AdamWStep};
pub use add::Add;
pub use attention::{Attention, AttentionBackward};
pub use bias::{Bias, BiasBackward};
pub use cached_attention::CachedAttention;
pub use conv_transpose1d::ConvTranspose1d;
pub use conv1d::{Conv1d, Conv1dBackwardInput, Conv1dBackwardWeight, ConvolutionShape};
pub use convert::Convert;
pub use cross_entropy::CrossEntropy;
pub use depthwise_conv1d::DepthwiseConv1d;
pub use embedding::{Embedding, EmbeddingBackward, by_id};
pub use erf_gelu::ErfGelu;
pub use flip::Flip;
pub use gather::{Gather, GatherBackward};
pub use gelu::{Gelu, GeluBackward};
pub use layer_norm::{LayerNorm, LayerNormBackward};
pub use leaky_relu::{LeakyRelu, LeakyReluBackward};
pub use level_histogram::LevelHistogram;
pub use linear::{Linear, LinearBackwardInput, LinearBackwardWeight};
pub use lookup::Lookup;
pub use lut_gemm::LutGemm;
pub use lut_gemv::LutGemv;
pub use move_scales::MoveScales;
pub use poltergeist::{PoltergeistFlip, PoltergeistVote};
pub use quantize::{Quantize, StraightThrough};
pub use reduce::{Sum, SumSquares};
pub use rescale_rows::RescaleRows;
pub use rms_norm::{RmsNorm, RmsNormBackward};
pub use rope::Rope;
pub use scale_gradient::ScaleGradient;
pub use squared_error::SquaredError;
pub use swiglu::{Swiglu, SwigluBackward};
pub use tanh::{Tanh, TanhBackward};
pub use vote::{RandomKey, Tile, Vote, VoteCast, VoteState};

use crate::backend::Op;

/// Names the ops, and makes them ones; those `with flops` have a function of that name.
macro_rules! ops {
    ($($op:ident = $name:literal $(with $flops:ident)?,)*) => {
        $(
            impl Op for $op {
                const NAME: &'static str = $name;
                $(
                    fn flops(&self) -> usize {
                        $op::$flops(self)
                    }
                )?
            }
        )*

        /// The names of all ops.
        pub const NAMES: &[&str] = &[$($name),*];
    };
}

ops! {
    AbsoluteError = "absolute_error",
    AdamW = "adamw",
    Add = "add",
    Attention = "attention" with flops,
    AttentionBackward = "attention_backward" with flops,
    Bias = "bias",
    BiasBackward = "bias_backward",
    CachedAttention = "cached_attention" with flops,
    Conv1d = "conv1d" with flops,
    Conv1dBackwardInput = "conv1d_backward_input" with flops,
    Conv1dBackwardWeight = "conv1d_backward_weight" with flops,
    ConvTranspose1d = "conv_transpose1d" with flops,
    Convert = "convert",
    CrossEntropy = "cross_entropy",
    DepthwiseConv1d = "depthwise_conv1d",
    Embedding = "embedding",
    EmbeddingBackward = "embedding_backward",
    ErfGelu = "erf_gelu",
    Flip = "flip",
    Gather = "gather",
    GatherBackward = "gather_backward",
    Gelu = "gelu",
    GeluBackward = "gelu_backward",
    LayerNorm = "layer_norm",
    LayerNormBackward = "layer_norm_backward",
    LeakyRelu = "leaky_relu",
    LeakyReluBackward = "leaky_relu_backward",
    LevelHistogram = "level_histogram",
    Linear = "linear" with flops,
    LinearBackwardInput = "linear_backward_input" with flops,
    LinearBackwardWeight = "linear_backward_weight" with flops,
    Lookup = "lookup",
    LutGemm = "lut_gemm" with flops,
    LutGemv = "lut_gemv" with flops,
    MoveScales = "move_scales",
    PoltergeistVote = "poltergeist_vote",
    PoltergeistFlip = "poltergeist_flip",
    Quantize = "quantize",
    StraightThrough = "straight_through",
    Sum = "sum",
    SumSquares = "sum_squares",
    RescaleRows = "rescale_rows",
    RmsNorm = "rms_norm",
    RmsNormBackward = "rms_norm_backward",
    Rope = "rope",
    ScaleGradient = "scale_gradient",
    SquaredError = "squared_error",
    Swiglu = "swiglu",
    SwigluBackward = "swiglu_backward",
    Tanh = "tanh",
    TanhBackward = "tanh_backward",
    Vote = "vote",
}
