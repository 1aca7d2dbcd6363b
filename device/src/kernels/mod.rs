//! The kernels, one file an op, with the op's name in the host's `Backend`.
//!
//! Pointers are to device memory; all matrices are row-major. Written memory overlaps nothing unless the doc says so. A grid has
//! `⌈items / covers⌉` blocks in x and y: each doc names the items, the manifest has the numbers.
#![allow(unsafe_op_in_unsafe_fn, reason = "a kernel is one contract: that of its launch")]
#![allow(clippy::needless_range_loop, reason = "iterators that own an array keep it in local memory")]
#![allow(clippy::missing_safety_doc, clippy::too_many_arguments, reason = "the contract is the launch's; a kernel names all its operands")]

mod blocks;
mod elementwise;
mod float;
mod gemm;
#[cfg(not(feature = "cuda_std"))]
mod half_gemm;
mod heads;
mod windows;

pub mod absolute_error;
pub mod adamw;
pub mod add;
pub mod attention;
pub mod attention_backward;
pub mod bias_backward;
pub mod cached_attention;
pub mod conv1d;
pub mod conv_transpose1d;
pub mod cross_entropy;
pub mod embedding;
pub mod flip;
pub mod gather;
pub mod gelu;
pub mod layer_norm;
pub mod leaky_relu;
pub mod level_histogram;
pub mod linear;
#[cfg(not(feature = "cuda_std"))]
pub mod linear_half;
pub mod lut_gemv;
pub mod poltergeist;
pub mod quantize;
pub mod reduce;
pub mod rescale_rows;
pub mod scale_gradient;
pub mod squared_error;
pub mod tanh;
pub mod vote;
