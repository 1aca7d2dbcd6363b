//! Everything of a GPU that plain Rust lacks, under the names of `cuda_std`; the kernels use nothing else.
//!
//! - `thread`: a thread's place, and the barrier of its block
//! - `warp`: exchange between lanes
//! - `shared`: a block's shared memory
//! - `memory`: vectors of memory
//! - `atomic`: atomic updates
//! - `float`: functions of floats
//! - `float16`: halves
//! - `dot`: integer dot products
//! - `matrix`: tensor cores
//!
//! Two providers: rustc's own NVPTX back end, by which kernels are built, and with the feature `cuda_std` the crate of that name, for
//! rustc_codegen_nvvm. What that crate lacks is declared here for both.

pub mod atomic;
pub mod dot;
#[cfg(not(feature = "cuda_std"))]
mod float;
pub mod float16;
#[cfg(not(feature = "cuda_std"))]
pub mod matrix;
pub mod memory;
pub mod shared;
#[cfg(not(feature = "cuda_std"))]
pub mod thread;
pub mod warp;

#[cfg(feature = "cuda_std")]
pub use cuda_std::{GpuFloat, GpuFloat as GpuDouble, thread};
#[cfg(not(feature = "cuda_std"))]
pub use float::{GpuDouble, GpuFloat};
