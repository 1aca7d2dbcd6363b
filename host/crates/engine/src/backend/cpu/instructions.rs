//! Which of the processor's instructions kernels may use.

use std::sync::atomic::{AtomicBool, Ordering};

static IS_LIMITED: AtomicBool = AtomicBool::new(false);

/// Keeps the kernels of products from AVX-512, as if the processor had no more than AVX2: for comparisons. It counts for what is chosen later, so it comes before
/// the first op. Loops that are compiled for several instruction sets (norms, activation functions, blocks of other formats) are not limited.
pub fn limit_to_avx2() {
    IS_LIMITED.store(true, Ordering::Relaxed);
}

/// Whether kernels may use AVX-512 where the processor has it.
pub fn allows_avx512() -> bool {
    !IS_LIMITED.load(Ordering::Relaxed)
}
