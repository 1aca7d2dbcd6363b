//! Integer dot products and byte permutation: one instruction each from sm_61 on.

macro_rules! instruction {
    ($(#[$doc:meta])* $name:ident, $template:literal, ($($operand:ident: $type:ty),*) -> $result:ty, $portable:expr) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name($($operand: $type),*) -> $result {
            #[cfg(not(feature = "cuda_std"))]
            {
                let result;
                // SAFETY: arithmetic on registers.
                unsafe { core::arch::asm!($template, out(reg32) result, $(in(reg32) $operand),*, options(pure, nomem, nostack)) };
                result
            }
            #[cfg(feature = "cuda_std")]
            {
                $portable
            }
        }
    };
}

#[cfg(feature = "cuda_std")]
fn halves(a: u32) -> [i32; 2] {
    [a as i16 as i32, (a as i32) >> 16]
}

instruction! {
    /// `c` + the two signed halves of `a` times the signed bytes 0 and 1 of `b`.
    dp2a_lo_s32_s32, "dp2a.lo.s32.s32 {}, {}, {}, {};", (a: u32, b: u32, c: i32) -> i32, {
        let [low, high] = halves(a);
        c + low * (b as i8 as i32) + high * ((b >> 8) as i8 as i32)
    }
}
instruction! {
    /// `c` + the two signed halves of `a` times the signed bytes 2 and 3 of `b`.
    dp2a_hi_s32_s32, "dp2a.hi.s32.s32 {}, {}, {}, {};", (a: u32, b: u32, c: i32) -> i32, {
        let [low, high] = halves(a);
        c + low * ((b >> 16) as i8 as i32) + high * ((b >> 24) as i8 as i32)
    }
}
instruction! {
    /// `c` + the two signed halves of `a` times the unsigned bytes 0 and 1 of `b`.
    dp2a_lo_s32_u32, "dp2a.lo.s32.u32 {}, {}, {}, {};", (a: u32, b: u32, c: i32) -> i32, {
        let [low, high] = halves(a);
        c + low * (b & 255) as i32 + high * (b >> 8 & 255) as i32
    }
}
instruction! {
    /// `c` + the two signed halves of `a` times the unsigned bytes 2 and 3 of `b`.
    dp2a_hi_s32_u32, "dp2a.hi.s32.u32 {}, {}, {}, {};", (a: u32, b: u32, c: i32) -> i32, {
        let [low, high] = halves(a);
        c + low * (b >> 16 & 255) as i32 + high * (b >> 24) as i32
    }
}
instruction! {
    /// Four of the bytes of `a` (0–3) and `b` (4–7), chosen by the low nibbles of `selector`, each below 8.
    prmt, "prmt.b32 {}, {}, {}, {};", (a: u32, b: u32, selector: u32) -> u32, {
        let bytes = (a as u64 | (b as u64) << 32).to_le_bytes();
        u32::from_le_bytes([0, 4, 8, 12].map(|shift| bytes[(selector >> shift & 7) as usize]))
    }
}
