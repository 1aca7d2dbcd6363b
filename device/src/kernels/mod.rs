//! The kernels, one file an op, with the op's name in the engine's `ops`.
//!
//! Pointers are to device memory; all matrices are row-major. Written memory overlaps nothing unless the doc says so. A grid has
//! `⌈items / covers⌉` blocks in x and y: each doc names the items. Activations that a forward pass keeps come as bytes: they are floats, or halves
//! where `halves` has the bit of their place among them.
//!
//! On the host an op's file has the sizes that a launcher needs, and for each kernel a function that makes a [`Call`](crate::launch::Call).
#![allow(unsafe_op_in_unsafe_fn, reason = "a kernel is one contract: that of its launch")]
#![allow(clippy::needless_range_loop, reason = "iterators that own an array keep it in local memory")]
#![allow(clippy::missing_safety_doc, clippy::too_many_arguments, reason = "the contract is the launch's; a kernel names all its operands")]

#[cfg(any(target_arch = "nvptx64", feature = "cuda_std"))]
mod common;
pub mod sizes;

pub mod absolute_error;
pub mod adamw;
pub mod add;
pub mod attention;
pub mod attention_backward;
pub mod bias;
pub mod bias_backward;
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
pub mod largest;
pub mod layer_norm;
pub mod leaky_relu;
pub mod level_histogram;
pub mod linear;
#[cfg(not(feature = "cuda_std"))]
pub mod linear_half;
pub mod lookup;
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

#[cfg(not(any(target_arch = "nvptx64", feature = "cuda_std")))]
use crate::launch::Kernel;

/// All kernels: those of each op.
#[cfg(not(any(target_arch = "nvptx64", feature = "cuda_std")))]
pub const ALL: &[&[&Kernel]] = &[
    absolute_error::KERNELS,
    adamw::KERNELS,
    add::KERNELS,
    attention::KERNELS,
    attention_backward::KERNELS,
    bias::KERNELS,
    bias_backward::KERNELS,
    cached_attention::KERNELS,
    conv1d::KERNELS,
    conv_transpose1d::KERNELS,
    convert::KERNELS,
    cross_entropy::KERNELS,
    depthwise_conv1d::KERNELS,
    embedding::KERNELS,
    erf_gelu::KERNELS,
    flip::KERNELS,
    gather::KERNELS,
    gelu::KERNELS,
    largest::KERNELS,
    layer_norm::KERNELS,
    leaky_relu::KERNELS,
    level_histogram::KERNELS,
    linear::KERNELS,
    linear_half::KERNELS,
    lookup::KERNELS,
    lut_gemv::KERNELS,
    move_scales::KERNELS,
    poltergeist::KERNELS,
    quantize::KERNELS,
    reduce::KERNELS,
    rescale_rows::KERNELS,
    rms_norm::KERNELS,
    rope::KERNELS,
    scale_gradient::KERNELS,
    squared_error::KERNELS,
    swiglu::KERNELS,
    tanh::KERNELS,
    vote::KERNELS,
];
