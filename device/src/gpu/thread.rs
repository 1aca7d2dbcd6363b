//! A thread's place, and the barrier of its block.

use core::arch::nvptx;

macro_rules! place {
    ($($name:ident $of:ident)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "` of the CUDA model.")]
            #[inline(always)]
            pub fn $name() -> u32 {
                // SAFETY: reads a special register.
                unsafe { nvptx::$of() }
            }
        )*
    };
}

place!(thread_idx_x _thread_idx_x block_idx_x _block_idx_x block_idx_y _block_idx_y);

/// Waits for all threads of the block; what they wrote before is visible after.
#[inline(always)]
pub fn sync_threads() {
    // SAFETY: all threads of a block reach it: kernels call it under uniform conditions only.
    unsafe { nvptx::_syncthreads() }
}
