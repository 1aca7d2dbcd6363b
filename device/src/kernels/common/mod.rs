//! What kernels share beyond their [`sizes`](super::sizes): for the GPU alone.

pub mod blocks;
pub mod elementwise;
pub mod float;
pub mod gemm;
#[cfg(not(feature = "cuda_std"))]
pub mod half_gemm;
pub mod heads;
pub mod rows;
pub mod scaling;
pub mod sums;
pub mod values;
pub mod windows;
