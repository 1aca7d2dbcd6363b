//! Halves (IEEE 754 binary16) by their bits.

/// The value of a half.
#[inline(always)]
pub fn float_of_half(bits: u16) -> f32 {
    #[cfg(not(feature = "cuda_std"))]
    {
        let value;
        // SAFETY: arithmetic on registers.
        unsafe { core::arch::asm!("cvt.f32.f16 {}, {};", out(reg32) value, in(reg16) bits, options(pure, nomem, nostack)) };
        value
    }
    #[cfg(feature = "cuda_std")]
    {
        crate::grid::half_value(bits)
    }
}
