//! A block's shared memory.

#[cfg(feature = "cuda_std")]
pub use cuda_std::shared::dynamic_shared_mem;

/// The dynamic shared memory that the launch gave the block; uninitialised.
#[cfg(not(feature = "cuda_std"))]
#[inline(always)]
pub fn dynamic_shared_mem<T>() -> *mut T {
    unsafe extern "C" {
        fn dynamic_shared_base() -> *mut u8;
    }
    // SAFETY: `shared_memory.ll` gives the address of a symbol.
    unsafe { dynamic_shared_base() }.cast()
}
