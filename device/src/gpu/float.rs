//! Functions of floats that `core` lacks.

/// The functions of floats that `core` keeps unstable, and approximations in hardware.
pub trait GpuFloat {
    /// `self · a + b`, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// √self, correctly rounded.
    fn sqrt(self) -> Self;
    /// 2^self to 2 units in the last place (`ex2.approx`).
    fn exp2(self) -> Self;
    /// log₂ self (`lg2.approx`): absolute error 2⁻²² in [0.5, 2], relative error 2⁻²² elsewhere.
    fn log2(self) -> Self;
}

/// The one function of doubles.
pub trait GpuDouble {
    /// √self, correctly rounded.
    fn sqrt(self) -> Self;
}

impl GpuDouble for f64 {
    #[inline(always)]
    fn sqrt(self) -> f64 {
        core::f64::math::sqrt(self)
    }
}

impl GpuFloat for f32 {
    #[inline(always)]
    fn mul_add(self, a: f32, b: f32) -> f32 {
        core::f32::math::mul_add(self, a, b)
    }

    #[inline(always)]
    fn sqrt(self) -> f32 {
        core::f32::math::sqrt(self)
    }

    #[inline(always)]
    fn exp2(self) -> f32 {
        let y;
        // SAFETY: arithmetic on registers.
        unsafe { core::arch::asm!("ex2.approx.f32 {}, {};", out(reg32) y, in(reg32) self, options(pure, nomem, nostack)) };
        y
    }

    #[inline(always)]
    fn log2(self) -> f32 {
        let y;
        // SAFETY: arithmetic on registers.
        unsafe { core::arch::asm!("lg2.approx.f32 {}, {};", out(reg32) y, in(reg32) self, options(pure, nomem, nostack)) };
        y
    }
}
