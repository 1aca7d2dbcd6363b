//! One token's `y = x · Wᵀ` on the CPU where groups of 32 weights have steps of their own.
//!
//! Activations are rounded as for scales of rows: to integers of 13 bits over one step for the whole vector. The product of a group's numerators
//! and those integers is an exact integer below 2²⁴, so `f32` holds it. It is multiplied by the group's step and added to one of sixteen running
//! sums, group after group in turn, where the sum of the group's activations times its offset is added as well; the sums are added in a fixed order.
//! No product is fused with a sum, so all kernels give the same bits.

use half::f16;
use primal_device::grid::{GROUP, half_value};

use crate::backend::Scales;
use crate::backend::cpu::unpack::Codes;

/// Running sums of a row; a row's groups take turns.
pub(super) const LANES: usize = 16;
/// Weights of a turn: activations are padded to whole turns.
pub(super) const TURN: usize = LANES * GROUP;

/// A vector of integers `q` that stands for `step · q`.
pub struct Activations<'a> {
    /// In the order of a kernel, padded with zeros to whole turns.
    pub(super) q: &'a [i16],
    /// Of each group, padded with zeros to whole turns.
    pub(super) sums: &'a [f32],
    /// The value of an integer.
    pub(super) step: f32,
}

impl Activations<'_> {
    /// The product of a row from its running sums.
    #[inline(always)]
    fn value(&self, mut sums: [f32; LANES]) -> f32 {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                sums[i] += sums[i + half];
            }
        }
        sums[0] * self.step
    }
}

/// The sums of `q` by group, where each block of a kernel has its activations in this order.
pub(super) fn sums(sums: &mut [f32], q: &[i16], order: &[u8]) {
    let groups = order.len() / GROUP;
    for (sums, q) in sums.chunks_exact_mut(groups).zip(q.chunks_exact(order.len())) {
        let mut totals = [0i32; 8];
        for (&q, &from) in q.iter().zip(order) {
            totals[usize::from(from) / GROUP] += i32::from(q);
        }
        sums.iter_mut().zip(totals).for_each(|(sum, total)| *sum = total as f32);
    }
}

/// Steps and offsets of a weight.
fn halves<'a>(w: &Codes<'a>) -> (&'a [f16], Option<&'a [f16]>) {
    match w.scaling.scales {
        Scales::Row(_) => panic!("scales of groups"),
        Scales::Group32 { step } => (step, None),
        Scales::Group32Offset { step, offset } => (step, Some(offset)),
    }
}

/// Activations in their natural order.
pub(super) fn portable(y: &mut [f32], w: &Codes, x: &Activations) {
    let ((step, offset), groups) = (halves(w), 2 * w.row_bytes / GROUP);
    let integer = |code: u8| i32::from(w.grid().integers[usize::from(code)]);
    for (row, (y, codes)) in y.iter_mut().zip(w.codes.chunks_exact(w.row_bytes)).enumerate() {
        let mut lanes = [0.0f32; LANES];
        for (group, (codes, q)) in codes.chunks_exact(GROUP / 2).zip(x.q.chunks_exact(GROUP)).enumerate() {
            let pairs = codes.iter().zip(q.chunks_exact(2));
            let sum: i32 = pairs.map(|(&pair, q)| integer(pair & 15) * i32::from(q[0]) + integer(pair >> 4) * i32::from(q[1])).sum();
            let (at, lane) = (row * groups + group, &mut lanes[group % LANES]);
            *lane += half_value(step[at].to_bits()) * sum as f32;
            if let Some(offset) = offset {
                *lane += half_value(offset[at].to_bits()) * x.sums[group];
            }
        }
        *y = x.value(lanes);
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2 {
    use std::arch::x86_64::*;

    use half::f16;

    use super::{Activations, Codes, GROUP, LANES, halves};
    use crate::ops::lut_gemv::cpu::ahead;

    /// Groups of a vector of sums, and their bytes of codes.
    const PART: usize = 8;
    const PART_BYTES: usize = PART * GROUP / 2;

    #[target_feature(enable = "avx2,f16c")]
    pub fn rows(y: &mut [f32], w: &Codes, x: &Activations) {
        let ((step, offset), groups) = (halves(w), 2 * w.row_bytes / GROUP);
        assert!(x.q.len() >= groups.next_multiple_of(LANES) * GROUP && x.sums.len() >= groups.next_multiple_of(LANES));
        let byte = |shift: u32| {
            let bytes = w.grid().integers.map(|integer| (integer >> shift) as u8);
            // SAFETY: 16 bytes.
            _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
        };
        let (tables, ahead) = ([byte(0), byte(8)], ahead(w));
        for (row, (y, codes)) in y.iter_mut().zip(w.codes.chunks_exact(w.row_bytes)).enumerate() {
            let of_row = row * groups..(row + 1) * groups;
            let (step, offset) = (&step[of_row.clone()], offset.map(|offset| &offset[of_row]));
            let mut sums = [_mm256_setzero_ps(); 2];
            for (part, codes) in codes.chunks(PART_BYTES).enumerate() {
                // SAFETY: prefetching never faults; sums of whole parts were counted above.
                let of_group = unsafe {
                    _mm_prefetch::<_MM_HINT_T0>(codes.as_ptr().wrapping_add(ahead).cast());
                    _mm_prefetch::<_MM_HINT_T0>(codes.as_ptr().wrapping_add(ahead + 64).cast());
                    _mm256_loadu_ps(x.sums.as_ptr().add(part * PART))
                };
                let products = _mm256_cvtepi32_ps(part_of_row(codes, &x.q[part * PART * GROUP..], tables));
                let sum = &mut sums[part % 2];
                *sum = _mm256_add_ps(*sum, _mm256_mul_ps(load(&step[part * PART..]), products));
                if let Some(offset) = offset {
                    *sum = _mm256_add_ps(*sum, _mm256_mul_ps(load(&offset[part * PART..]), of_group));
                }
            }
            // SAFETY: as many values as the vectors have.
            *y = x.value(unsafe { std::mem::transmute::<[__m256; 2], [f32; LANES]>(sums) });
        }
    }

    /// The first eight values, or those there are and zeros.
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn load(values: &[f16]) -> __m256 {
        let mut all = [f16::ZERO; PART];
        let from = if values.len() >= PART {
            values
        } else {
            all[..values.len()].copy_from_slice(values);
            &all
        };
        // SAFETY: eight values.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.as_ptr().cast()) })
    }

    /// The products of the eight groups of a part, which may be short of some.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn part_of_row(codes: &[u8], q: &[i16], [low, high]: [__m256i; 2]) -> __m256i {
        assert!(q.len() >= PART * GROUP);
        let nibble = _mm256_set1_epi8(15);
        let mut pairs = [_mm256_setzero_si256(); 4];
        for (i, sum) in pairs.iter_mut().enumerate() {
            let at = codes.as_ptr().wrapping_add(32 * i);
            // SAFETY: a row is a multiple of 16 bytes; activations of whole parts were counted.
            let (packed, q) = unsafe {
                let packed = match codes.len().saturating_sub(32 * i) {
                    0 => break,
                    16 => _mm256_zextsi128_si256(_mm_loadu_si128(at.cast())),
                    _ => _mm256_loadu_si256(at.cast()),
                };
                let q = q.as_ptr().add(64 * i).cast::<__m256i>();
                (packed, [0, 1, 2, 3].map(|i| _mm256_loadu_si256(q.add(i))))
            };
            for (i, codes) in [packed, _mm256_srli_epi16::<4>(packed)].map(|codes| _mm256_and_si256(codes, nibble)).into_iter().enumerate()
            {
                let (low, high) = (_mm256_shuffle_epi8(low, codes), _mm256_shuffle_epi8(high, codes));
                let first = _mm256_madd_epi16(_mm256_unpacklo_epi8(low, high), q[2 * i]);
                let second = _mm256_madd_epi16(_mm256_unpackhi_epi8(low, high), q[2 * i + 1]);
                *sum = _mm256_add_epi32(*sum, _mm256_add_epi32(first, second));
            }
        }
        // Half h of vector v is group 2v + h; its four sums become one, at place v of the half.
        let [a, b, c, d] = pairs;
        let sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        _mm256_permutevar8x32_epi32(sums, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx512 {
    use std::arch::x86_64::*;

    use half::f16;

    use super::{Activations, Codes, GROUP, LANES, TURN, halves};
    use crate::ops::lut_gemv::cpu::ahead;

    /// Rows that are multiplied together: each activation is loaded once for all of them.
    const ROWS: usize = 4;
    /// Bytes of codes of a turn.
    const TURN_BYTES: usize = TURN / 2;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub fn rows(y: &mut [f32], w: &Codes, x: &Activations) {
        let whole = y.len() / ROWS * ROWS;
        let (grouped, rest) = y.split_at_mut(whole);
        some_rows::<ROWS>(grouped, &w.rows(0, whole), x);
        some_rows::<1>(rest, &w.rows(whole, rest.len()), x);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn some_rows<const N: usize>(y: &mut [f32], w: &Codes, x: &Activations) {
        let ((step, offset), groups) = (halves(w), 2 * w.row_bytes / GROUP);
        let turns = groups.div_ceil(LANES);
        assert!(x.q.len() >= turns * TURN && x.sums.len() >= turns * LANES);
        // SAFETY: 16 integers of 16 bits.
        let table = unsafe { _mm256_loadu_si256(w.grid().integers.as_ptr().cast()) };
        // Twice, so that the look-up does not mind bit 4, the lowest of the next nibble.
        let (table, ahead) = (_mm512_broadcast_i64x4(table), ahead(w));
        for (i, (y, codes)) in y.chunks_exact_mut(N).zip(w.codes.chunks_exact(N * w.row_bytes)).enumerate() {
            let mut sums = [_mm512_setzero_ps(); N];
            for turn in 0..turns {
                let (left, bytes) = (groups - turn * LANES, w.row_bytes - turn * TURN_BYTES);
                let mask = u16::MAX >> (LANES - left.min(LANES));
                for (row, sum) in sums.iter_mut().enumerate() {
                    let at = codes.as_ptr().wrapping_add(row * w.row_bytes + turn * TURN_BYTES);
                    let first = (i * N + row) * groups + turn * LANES;
                    // SAFETY: only bytes and groups of the row are loaded, activations of whole turns were counted.
                    unsafe {
                        let products = _mm512_cvtepi32_ps(turn_of_row(at, bytes, ahead, x.q.as_ptr().add(turn * TURN), table));
                        *sum = _mm512_add_ps(*sum, _mm512_mul_ps(load(step, first, mask), products));
                        if let Some(offset) = offset {
                            let of_group = _mm512_loadu_ps(x.sums.as_ptr().add(turn * LANES));
                            *sum = _mm512_add_ps(*sum, _mm512_mul_ps(load(offset, first, mask), of_group));
                        }
                    }
                }
            }
            for (y, sum) in y.iter_mut().zip(sums) {
                // SAFETY: as many values as the vector has.
                *y = x.value(unsafe { std::mem::transmute::<__m512, [f32; LANES]>(sum) });
            }
        }
    }

    /// # Safety
    /// The values of the mask from the `first` on exist.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    #[inline]
    unsafe fn load(values: &[f16], first: usize, mask: u16) -> __m512 {
        // SAFETY: by the caller's contract.
        _mm512_cvtph_ps(unsafe { _mm256_maskz_loadu_epi16(mask, values.as_ptr().add(first).cast()) })
    }

    /// The products of sixteen groups, of which `bytes` bytes of codes are left in the row.
    ///
    /// # Safety
    /// The row has these bytes, and there are activations of a turn at `q`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn turn_of_row(codes: *const u8, bytes: usize, ahead: usize, q: *const i16, table: __m512i) -> __m512i {
        let mut quarters = [_mm512_setzero_si512(); 4];
        for (i, sum) in quarters.iter_mut().enumerate() {
            let left = bytes.saturating_sub(64 * i).min(64);
            if left == 0 {
                break;
            }
            let at = codes.wrapping_add(64 * i);
            // SAFETY: by the caller's contract; prefetching never faults.
            let (packed, q) = unsafe {
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(ahead).cast());
                let q = q.add(128 * i).cast::<__m512i>();
                (_mm512_maskz_loadu_epi8(u64::MAX >> (64 - left), at.cast()), [0, 1, 2, 3].map(|i| _mm512_loadu_si512(q.add(i))))
            };
            let nibbles = [packed, _mm512_srli_epi16::<4>(packed), _mm512_srli_epi16::<8>(packed), _mm512_srli_epi16::<12>(packed)];
            for (codes, q) in nibbles.into_iter().zip(q) {
                *sum = _mm512_dpwssd_epi32(*sum, _mm512_permutexvar_epi16(codes, table), q);
            }
        }
        // Part k of quarter i is group 4i + k; its four sums become one, at place i of the part.
        let [a, b, c, d] = quarters;
        let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        let sums = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
        _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), sums)
    }
}
