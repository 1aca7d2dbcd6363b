//! One token's product with a weight in blocks of GGML's Q8_0: a half, then 32 integers of 8 bits that it is the step of.
//!
//! Activations are rounded to 8 bits by the same blocks. The products of four of them are added up as integers; those eight sums are multiplied by both
//! steps and added to eight running sums in fused additions. Even blocks have eight of those, odd ones eight others; all are added in a fixed order. So all
//! kernels give the same bits.

use primal_device::grid::{GROUP, half_value};

use super::groups::{LANES, total};
use crate::backend::cpu::integers::{self, GROUP_WORDS, Order, Rounded};

/// Bytes of a block.
const BLOCK: usize = 2 + GROUP;
/// Values whose products are added up as integers.
const QUAD: usize = 4;
/// Sums of a block.
const QUADS: usize = GROUP / QUAD;

/// Rounded activations.
pub struct Activations<'a> {
    /// As they come.
    q: &'a [i8],
    /// What integers of a block stand for.
    steps: &'a [f32],
    /// Of each four, −128 times their sum.
    starts: &'a [i32],
}

/// Values of scratch that a product of so many inputs needs.
pub fn scratch_len(inputs: usize) -> usize {
    inputs.div_ceil(GROUP) * (GROUP_WORDS + QUADS)
}

impl<'a> Activations<'a> {
    /// Rounds x, whole blocks.
    pub fn round(x: &[f32], scratch: &'a mut [f32]) -> Self {
        let blocks = x.len() / GROUP;
        let (words, rest) = scratch.split_at_mut(blocks * GROUP_WORDS);
        let Rounded { q, steps, .. } = integers::round(Rounded::new(words, blocks), x, 0, Order::Natural);
        let starts: &mut [i32] = bytemuck::cast_slice_mut(&mut rest[..blocks * QUADS]);
        for (start, q) in starts.iter_mut().zip(q.chunks_exact(QUAD)) {
            *start = -128 * q.iter().map(|&q| i32::from(q)).sum::<i32>();
        }
        Self { q, steps, starts }
    }

    fn row_bytes(&self) -> usize {
        self.steps.len() * BLOCK
    }
}

pub(super) fn portable(y: &mut [f32], bytes: &[u8], x: &Activations) {
    for (y, row) in y.iter_mut().zip(bytes.chunks_exact(x.row_bytes())) {
        let mut sums = [[0.0f32; QUADS]; LANES / QUADS];
        for (i, (block, q)) in row.chunks_exact(BLOCK).zip(x.q.chunks_exact(GROUP)).enumerate() {
            let step = half_value(u16::from_le_bytes([block[0], block[1]])) * x.steps[i];
            for ((sum, w), q) in sums[i % 2].iter_mut().zip(block[2..].chunks_exact(QUAD)).zip(q.chunks_exact(QUAD)) {
                let products = w.iter().zip(q).map(|(&w, &q)| i32::from(w as i8) * i32::from(q));
                *sum = (products.sum::<i32>() as f32).mul_add(step, *sum);
            }
        }
        *y = total(std::array::from_fn(|i| sums[i / QUADS][i % QUADS]));
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{avx2, avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::super::ahead::Near;
    use super::super::groups::total_of_vectors;
    use super::{Activations, BLOCK, GROUP, QUADS};

    /// Defines a product of rows by that of a block, which makes eight integers of 32 bytes, as many rounded activations, and their starts.
    macro_rules! rows {
        ($name:ident, $features:literal, $block:ident) => {
            #[target_feature(enable = $features)]
            pub fn $name(y: &mut [f32], bytes: &[u8], x: &Activations) {
                let (blocks, row_bytes) = (x.steps.len(), x.row_bytes());
                assert!(x.q.len() == blocks * GROUP && x.starts.len() == blocks * QUADS);
                let mut ahead = Near::new(bytes, 0);
                for (y, row) in y.iter_mut().zip(bytes.chunks_exact(row_bytes)) {
                    let mut block = |i: usize, sum: __m256| {
                        ahead.next(BLOCK);
                        // SAFETY: a block of the row, activations of a block, and eight starts.
                        let (half, w, q, starts) = unsafe {
                            let block = row.as_ptr().add(i * BLOCK);
                            let w = _mm256_loadu_si256(block.add(2).cast());
                            let q = _mm256_loadu_si256(x.q.as_ptr().add(i * GROUP).cast());
                            (block.cast::<i16>().read_unaligned(), w, q, x.starts.as_ptr().add(i * QUADS))
                        };
                        let step = _mm256_mul_ps(_mm256_cvtph_ps(_mm_set1_epi16(half)), _mm256_set1_ps(x.steps[i]));
                        // SAFETY: eight starts.
                        let products = unsafe { $block(w, q, starts) };
                        _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), step, sum)
                    };
                    let [mut even, mut odd] = [_mm256_setzero_ps(); 2];
                    for i in 0..blocks / 2 {
                        even = block(2 * i, even);
                        odd = block(2 * i + 1, odd);
                    }
                    if blocks % 2 == 1 {
                        even = block(blocks - 1, even);
                    }
                    *y = total_of_vectors(even, odd);
                }
            }
        };
    }

    rows!(avx2, "avx2,fma,f16c", avx2_block);
    rows!(avx512, "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c", avx512_block);

    /// # Safety
    /// None is needed; the signature is that of the other one.
    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn avx2_block(w: __m256i, q: __m256i, _: *const i32) -> __m256i {
        // Magnitudes of weights, as high as 128, and activations with their signs: two products are at most 32,512.
        let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
        _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
    }

    /// # Safety
    /// There are eight starts.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn avx512_block(w: __m256i, q: __m256i, starts: *const i32) -> __m256i {
        // 128 more than the weights, for which the starts make up.
        let above = _mm256_xor_si256(w, _mm256_set1_epi8(i8::MIN));
        // SAFETY: by the caller's contract.
        _mm256_dpbusd_epi32(unsafe { _mm256_loadu_si256(starts.cast()) }, above, q)
    }
}
