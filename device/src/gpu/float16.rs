//! Halves (IEEE 754 binary16) by their bits.

#[cfg(feature = "cuda_std")]
use crate::grid::{half_bits, half_value};

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
    half_value(bits)
}

/// The half nearest to a value, of two the even one.
#[inline(always)]
pub fn half_of_float(value: f32) -> u16 {
    #[cfg(not(feature = "cuda_std"))]
    {
        let bits;
        // SAFETY: arithmetic on registers.
        unsafe { core::arch::asm!("cvt.rn.f16.f32 {}, {};", out(reg16) bits, in(reg32) value, options(pure, nomem, nostack)) };
        bits
    }
    #[cfg(feature = "cuda_std")]
    half_bits(value)
}
