//! The micro-kernels of the `gemm` crate for this processor.

use std::sync::OnceLock;

use gemm_f32::microkernel;

#[cfg(target_arch = "x86_64")]
use super::instructions;

/// `C = A·B` of a few rows and columns; its parameters are those of the `gemm` crate.
pub type MicroKernel = unsafe fn(
    usize,
    usize,
    usize,
    *mut f32,
    *const f32,
    *const f32,
    isize,
    isize,
    isize,
    isize,
    isize,
    f32,
    f32,
    u8,
    bool,
    bool,
    bool,
    *const f32,
);

/// The micro-kernels for a processor.
pub struct MicroKernels {
    /// Values of a vector.
    pub lanes: usize,
    /// Columns of C of the largest micro-kernel: the width of a packed panel.
    pub width: usize,
    /// Rows of C of the largest micro-kernel.
    pub height: usize,
    /// By vectors of columns, then rows, both from 1.
    pub select: fn(usize, usize) -> MicroKernel,
    /// AVX2 and FMA are there.
    pub avx2: bool,
}

/// The micro-kernels of this processor, chosen once.
pub fn micro_kernels() -> &'static MicroKernels {
    static KERNELS: OnceLock<MicroKernels> = OnceLock::new();
    KERNELS.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            if instructions::allows_avx512() && is_x86_feature_detected!("avx512f") {
                return MicroKernels {
                    lanes: 16,
                    width: 64,
                    height: 6,
                    select: |m, n| microkernel::avx512f::f32::UKR[m - 1][n - 1],
                    avx2: true,
                };
            }
            return MicroKernels { lanes: 8, width: 16, height: 6, select: |m, n| microkernel::fma::f32::UKR[m - 1][n - 1], avx2: true };
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            return MicroKernels { lanes: 4, width: 16, height: 4, select: |m, n| microkernel::neon::f32::UKR[m - 1][n - 1], avx2: false };
        }
        MicroKernels { lanes: 1, width: 2, height: 4, select: |m, n| microkernel::scalar::f32::UKR[m - 1][n - 1], avx2: false }
    })
}
