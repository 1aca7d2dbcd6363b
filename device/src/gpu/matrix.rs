//! Matrix instructions of sm_80 and later, whose fragments a warp holds together; `cuda_std` has none of them.
//!
//! All lanes must take part.

use core::arch::asm;

/// Two floats rounded to halves, the first in the low bits.
#[inline(always)]
pub fn pack_halves(low: f32, high: f32) -> u32 {
    let halves;
    // SAFETY: arithmetic on registers.
    unsafe { asm!("cvt.rn.f16x2.f32 {}, {}, {};", out(reg32) halves, in(reg32) high, in(reg32) low, options(pure, nomem, nostack)) };
    halves
}

/// Two halves as floats, that in the low bits first.
#[inline(always)]
pub fn unpack_halves(halves: u32) -> [f32; 2] {
    let (low, high);
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "{{ .reg .b16 %low, %high; mov.b32 {{%low, %high}}, {}; cvt.f32.f16 {}, %low; cvt.f32.f16 {}, %high; }}",
            in(reg32) halves, out(reg32) low, out(reg32) high,
            options(pure, nomem, nostack)
        );
    }
    [low, high]
}

/// A pointer to shared memory as the address that [`ldmatrix_x4`] takes.
#[inline(always)]
pub fn shared_address(pointer: *const u16) -> u32 {
    let address;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "{{ .reg .u64 %at; cvta.to.shared.u64 %at, {}; cvt.u32.u64 {}, %at; }}",
            in(reg64) pointer, out(reg32) address,
            options(pure, nomem, nostack)
        );
    }
    address
}

macro_rules! ldmatrix {
    ($(#[$doc:meta])* $name:ident, $instruction:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The eight rows of each matrix, 16 bytes each, lie in shared memory on multiples of 16 bytes; lane l gives row l mod 8 of matrix l / 8.
        #[inline(always)]
        pub unsafe fn $name(row: u32) -> [u32; 4] {
            let (a, b, c, d);
            // SAFETY: by contract.
            unsafe {
                asm!(
                    concat!($instruction, " {{{}, {}, {}, {}}}, [{}];"),
                    out(reg32) a, out(reg32) b, out(reg32) c, out(reg32) d, in(reg32) row,
                    options(nostack)
                );
            }
            [a, b, c, d]
        }
    };
}

ldmatrix! {
    /// Four 8 × 8 matrices of halves: this lane's row l / 4, columns 2 (l mod 4) and the next, of each.
    ldmatrix_x4, "ldmatrix.sync.aligned.m8n8.x4.shared.b16"
}
ldmatrix! {
    /// The transposes of four 8 × 8 matrices of halves: this lane's row l / 4 of each transpose, columns 2 (l mod 4) and the next.
    ldmatrix_x4_trans, "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16"
}

/// `sums += a · b`: 16 × 16 halves times 16 × 8, added up in `f32`.
#[inline(always)]
pub fn mma_m16n8k16(sums: &mut [f32; 4], a: [u32; 4], b: [u32; 2]) {
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32",
            " {{{0}, {1}, {2}, {3}}}, {{{4}, {5}, {6}, {7}}}, {{{8}, {9}}}, {{{0}, {1}, {2}, {3}}};",
            inout(reg32) sums[0], inout(reg32) sums[1], inout(reg32) sums[2], inout(reg32) sums[3],
            in(reg32) a[0], in(reg32) a[1], in(reg32) a[2], in(reg32) a[3], in(reg32) b[0], in(reg32) b[1],
            options(nomem, nostack)
        );
    }
}
