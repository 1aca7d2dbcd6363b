//! The discrete logic of PRIMAL, written once: the grids, the random numbers, the votes and the flips.
//!
//! - [`grid`]: the 4-bit grids, nearest level, exact integers, how codes and votes are stored
//! - [`philox`]: counter-based random numbers
//! - [`rules`]: what moves a weight: votes, flips, quantisation
//!
//! Everything is a plain function on `Copy` values: no heap, no state, no float library, so that the CPU back end and GPU
//! kernels run the same code and get the same bits.
//!
//! - [`kernels`]: the ops on a GPU. Their bodies are built for `nvptx64` only, by `cargo xtask build-kernels`; the host has what a launch needs.
//! - [`launch`]: how a kernel is declared and called
#![no_std]
#![cfg_attr(not(any(target_arch = "nvptx64", feature = "cuda_std")), deny(unsafe_code))]
#![cfg_attr(feature = "cuda_std", allow(unexpected_cfgs, reason = "its macro asks for targets that rustc does not know"))]
#![cfg_attr(feature = "cuda_std", allow(unused_imports, reason = "on the host, floats have these functions themselves"))]
#![cfg_attr(target_arch = "nvptx64", allow(internal_features, reason = "shuffles and votes exist as LLVM intrinsics only"))]
#![cfg_attr(target_arch = "nvptx64", feature(abi_ptx, asm_experimental_arch, core_float_math, link_llvm_intrinsics, stdarch_nvptx))]

#[cfg(any(target_arch = "nvptx64", feature = "cuda_std"))]
mod gpu;

pub mod grid;
pub mod kernels;
pub mod launch;
pub mod philox;
pub mod rules;

#[cfg(target_arch = "nvptx64")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: stops the kernel with an error.
    unsafe { core::arch::nvptx::trap() }
}
