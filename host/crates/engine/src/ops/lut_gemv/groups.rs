//! One token's `y = x · Wᵀ` on the CPU where groups of 32 weights have steps of their own.
//!
//! Activations are rounded to 8 bits by the same groups, as for prompts. The product of a group's numerators and those integers is an exact integer,
//! which `f32` holds. It is multiplied by the weights' step, rounded, and by the activations' in a fused addition to one of sixteen running sums, group
//! after group in turn, where the offset times the sum of the group's activations is added as well; the sums are added in a fixed order. So all kernels
//! give the same bits.

use half::f16;
use primal_device::grid::{GROUP, half_value};

use crate::backend::Scales;
use crate::backend::cpu::integers::Levels;
use crate::backend::cpu::unpack::Codes;

/// Running sums of a row; a row's groups take turns.
pub(super) const LANES: usize = 16;
/// Weights of a turn: activations are padded to whole turns.
pub(super) const TURN: usize = LANES * GROUP;
/// Largest level of which four products with activations add up in 16 bits.
pub(super) const NARROW: u8 = 64;

/// Rounded activations, padded with zeros to whole turns.
pub struct Activations<'a> {
    /// In the order [`NibblesOfFour`](crate::backend::cpu::integers::Order::NibblesOfFour).
    pub(super) q: &'a [i8],
    /// What integers of a group stand for.
    pub(super) steps: &'a [f32],
    /// The sum of a group of integers times the lowest integer of the grid.
    pub(super) starts: &'a [i32],
    /// The sum of a group of rounded activations.
    pub(super) sums: &'a [f32],
}

impl Activations<'_> {
    fn require(&self, groups: usize) {
        let turns = groups.next_multiple_of(LANES);
        assert!(self.q.len() >= turns * GROUP, "{} activations", self.q.len());
        assert!([self.steps.len(), self.starts.len(), self.sums.len()].iter().all(|&len| len >= turns), "groups of activations");
    }
}

/// The sum of a row's running sums.
#[inline(always)]
pub(super) fn total(mut sums: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
    }
    sums[0]
}

/// As [`total`], of the first eight and the last eight.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
#[inline]
pub(super) fn total_of_vectors(first: std::arch::x86_64::__m256, last: std::arch::x86_64::__m256) -> f32 {
    use std::arch::x86_64::*;
    let sums = _mm256_add_ps(first, last);
    let sums = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums));
    let sums = _mm_add_ps(sums, _mm_movehl_ps(sums, sums));
    _mm_cvtss_f32(_mm_add_ss(sums, _mm_shuffle_ps::<1>(sums, sums)))
}

/// Steps and offsets of a weight.
fn halves<'a>(w: &Codes<'a>) -> (&'a [f16], Option<&'a [f16]>) {
    match w.scaling.scales {
        Scales::Row(_) => panic!("scales of groups"),
        Scales::Group32 { step } => (step, None),
        Scales::Group32Offset { step, offset } => (step, Some(offset)),
    }
}

/// For levels of any width.
pub(super) fn portable(y: &mut [f32], w: &Codes, x: &Activations, _: &Levels) {
    let ((step, offset), groups) = (halves(w), 2 * w.row_bytes / GROUP);
    x.require(groups);
    let integer = |code: u8| i32::from(w.grid().integers[usize::from(code)]);
    for (row, (y, codes)) in y.iter_mut().zip(w.codes.chunks_exact(w.row_bytes)).enumerate() {
        let mut lanes = [0.0f32; LANES];
        for (group, codes) in codes.chunks_exact(GROUP / 2).enumerate() {
            let first = group / 4 * 4 * GROUP + group % 4 * GROUP / 2;
            let (low, high) = (&x.q[first..], &x.q[first + 2 * GROUP..]);
            let pairs = codes.iter().zip(low.iter().zip(high));
            let sum: i32 = pairs.map(|(&pair, (&a, &b))| integer(pair & 15) * i32::from(a) + integer(pair >> 4) * i32::from(b)).sum();
            let (at, lane) = (row * groups + group, &mut lanes[group % LANES]);
            *lane = (half_value(step[at].to_bits()) * sum as f32).mul_add(x.steps[group], *lane);
            if let Some(offset) = offset {
                *lane = half_value(offset[at].to_bits()).mul_add(x.sums[group], *lane);
            }
        }
        *y = total(lanes);
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2 {
    use std::arch::x86_64::*;

    use half::f16;

    use super::super::ahead::{Near, ROWS};
    use super::{Activations, Codes, GROUP, LANES, Levels, NARROW, halves, total_of_vectors};

    /// Groups of a vector of sums, and their bytes of codes.
    const PART: usize = 8;
    const PART_BYTES: usize = PART * GROUP / 2;

    /// # Panics
    /// If levels are not narrow.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub fn rows(y: &mut [f32], w: &Codes, x: &Activations, levels: &Levels) {
        assert!(levels.largest <= NARROW, "a level of {}", levels.largest);
        let whole = y.len() / ROWS * ROWS;
        let (grouped, rest) = y.split_at_mut(whole);
        some_rows::<ROWS>(grouped, &w.rows(0, whole), x, levels);
        some_rows::<1>(rest, &w.rows(whole, rest.len()), x, levels);
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn some_rows<const N: usize>(y: &mut [f32], w: &Codes, x: &Activations, levels: &Levels) {
        let ((step, offset), groups) = (halves(w), 2 * w.row_bytes / GROUP);
        x.require(groups);
        // SAFETY: 16 bytes.
        let table = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(levels.above_lowest.as_ptr().cast()) });
        let mut ahead = Near::new(w.codes, N * w.row_bytes);
        for (i, (y, codes)) in y.chunks_exact_mut(N).zip(w.codes.chunks_exact(N * w.row_bytes)).enumerate() {
            let mut sums = [[_mm256_setzero_ps(); LANES / PART]; N];
            // Two parts a turn, each with a vector of sums.
            for turn in 0..groups.div_ceil(LANES) {
                for (half, part) in [2 * turn, 2 * turn + 1].into_iter().enumerate() {
                    if part * PART >= groups {
                        break;
                    }
                    let bytes = (w.row_bytes - part * PART_BYTES).min(PART_BYTES);
                    // SAFETY: only codes of these rows are loaded; activations and groups of whole turns were counted.
                    let (products, starts, steps, of_group) = unsafe {
                        let (codes, q) = (codes.as_ptr().add(part * PART_BYTES), x.q.as_ptr().add(part * PART * GROUP));
                        let products = if bytes == PART_BYTES {
                            part_of_rows::<N, true>([codes, q.cast()], bytes, w.row_bytes, table, &mut ahead)
                        } else {
                            part_of_rows::<N, false>([codes, q.cast()], bytes, w.row_bytes, table, &mut ahead)
                        };
                        let at = part * PART;
                        let starts = _mm256_loadu_si256(x.starts.as_ptr().add(at).cast());
                        (products, starts, _mm256_loadu_ps(x.steps.as_ptr().add(at)), _mm256_loadu_ps(x.sums.as_ptr().add(at)))
                    };
                    for (row, (sums, products)) in sums.iter_mut().zip(products).enumerate() {
                        let (first, sum) = ((i * N + row) * groups + part * PART, &mut sums[half]);
                        ahead.halves(step, first);
                        let products = _mm256_cvtepi32_ps(_mm256_add_epi32(products, starts));
                        *sum = _mm256_fmadd_ps(_mm256_mul_ps(load(step, first), products), steps, *sum);
                        if let Some(offset) = offset {
                            ahead.halves(offset, first);
                            *sum = _mm256_fmadd_ps(load(offset, first), of_group, *sum);
                        }
                    }
                }
            }
            for (y, [first, last]) in y.iter_mut().zip(sums) {
                *y = total_of_vectors(first, last);
            }
        }
    }

    /// Eight values from the `first` on, of which those that are beyond the row multiply zeros, or those there are and zeros.
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn load(values: &[f16], first: usize) -> __m256 {
        let mut all = [f16::ZERO; PART];
        let values = &values[first..];
        let from = if values.len() >= PART {
            values
        } else {
            all[..values.len()].copy_from_slice(values);
            &all
        };
        // SAFETY: eight values.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.as_ptr().cast()) })
    }

    /// The products of the eight groups of a part in N rows; of a part that is not whole, `bytes` of codes are left.
    ///
    /// # Safety
    /// The rows have these bytes, from row to row `stride`, and there are activations of eight groups.
    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn part_of_rows<const N: usize, const WHOLE: bool>(
        [codes, q]: [*const u8; 2],
        bytes: usize,
        stride: usize,
        table: __m256i,
        ahead: &mut Near,
    ) -> [__m256i; N] {
        let (nibble, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
        // Of vectors 0 and 1, then 2 and 3: added up as soon as both are there, which leaves registers to the others.
        let mut both = [[_mm256_setzero_si256(); 2]; N];
        for pair in 0..2 {
            if !WHOLE && bytes <= 64 * pair {
                break;
            }
            let mut firsts = [_mm256_setzero_si256(); N];
            for i in 0..2 {
                if !WHOLE && bytes <= 64 * pair + 32 * i {
                    for (both, first) in both.iter_mut().zip(firsts) {
                        both[pair] = quads(first, _mm256_setzero_si256());
                    }
                    break;
                }
                // SAFETY: by the caller's contract.
                let (low, high) = unsafe {
                    let q = q.add(128 * pair + 32 * i);
                    (_mm256_loadu_si256(q.cast()), _mm256_loadu_si256(q.add(64).cast()))
                };
                for (row, (both, first)) in both.iter_mut().zip(&mut firsts).enumerate() {
                    let left = if WHOLE { 64 } else { bytes - 64 * pair };
                    if i == 0 {
                        ahead.next(left.min(64));
                    }
                    let at = codes.wrapping_add(row * stride + 64 * pair + 32 * i);
                    // SAFETY: by the caller's contract; a row is a multiple of 16 bytes.
                    let packed = unsafe {
                        if left >= 32 * i + 32 { _mm256_loadu_si256(at.cast()) } else { _mm256_zextsi128_si256(_mm_loadu_si128(at.cast())) }
                    };
                    let levels =
                        [packed, _mm256_srli_epi16::<4>(packed)].map(|codes| _mm256_shuffle_epi8(table, _mm256_and_si256(codes, nibble)));
                    let products = _mm256_add_epi16(_mm256_maddubs_epi16(levels[0], low), _mm256_maddubs_epi16(levels[1], high));
                    let products = _mm256_madd_epi16(products, ones);
                    if i == 0 {
                        *first = products;
                    } else {
                        both[pair] = quads(*first, products);
                    }
                }
            }
        }
        both.map(|[ab, cd]| {
            // Half h of vector v is group 2v + h; its four sums become one, at place v of the half.
            let sums = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
            _mm256_permutevar8x32_epi32(sums, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
        })
    }

    /// Of each half of two vectors the sums of values 0 and 2, and of 1 and 3.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn quads(a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx512 {
    use std::arch::x86_64::*;

    use half::f16;

    use super::super::ahead::{Far, ROWS};
    use super::{Activations, Codes, GROUP, LANES, Levels, TURN, halves, total_of_vectors};

    /// Bytes of codes of a turn.
    const TURN_BYTES: usize = TURN / 2;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub fn rows(y: &mut [f32], w: &Codes, x: &Activations, levels: &Levels) {
        let whole = y.len() / ROWS * ROWS;
        let (grouped, rest) = y.split_at_mut(whole);
        some_rows::<ROWS>(grouped, &w.rows(0, whole), x, levels);
        some_rows::<1>(rest, &w.rows(whole, rest.len()), x, levels);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn some_rows<const N: usize>(y: &mut [f32], w: &Codes, x: &Activations, levels: &Levels) {
        let ((step, offset), groups) = (halves(w), 2 * w.row_bytes / GROUP);
        x.require(groups);
        // SAFETY: 16 bytes.
        let table = _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(levels.above_lowest.as_ptr().cast()) });
        let mut ahead = Far::new(w.codes, N * w.row_bytes);
        for (i, (y, codes)) in y.chunks_exact_mut(N).zip(w.codes.chunks_exact(N * w.row_bytes)).enumerate() {
            let mut sums = [_mm512_setzero_ps(); N];
            for turn in 0..groups.div_ceil(LANES) {
                let bytes = (w.row_bytes - turn * TURN_BYTES).min(TURN_BYTES);
                let mask = u16::MAX >> (LANES - (groups - turn * LANES).min(LANES));
                // SAFETY: only codes of these rows are loaded; activations and groups of whole turns were counted.
                let (products, starts, steps, of_group) = unsafe {
                    let (codes, q) = (codes.as_ptr().add(turn * TURN_BYTES), x.q.as_ptr().add(turn * TURN));
                    let products = if bytes == TURN_BYTES {
                        turn_of_rows::<N, true>([codes, q.cast()], bytes, w.row_bytes, table, &mut ahead)
                    } else {
                        turn_of_rows::<N, false>([codes, q.cast()], bytes, w.row_bytes, table, &mut ahead)
                    };
                    let at = turn * LANES;
                    let starts = _mm512_loadu_si512(x.starts.as_ptr().add(at).cast());
                    (products, starts, _mm512_loadu_ps(x.steps.as_ptr().add(at)), _mm512_loadu_ps(x.sums.as_ptr().add(at)))
                };
                for (row, (sum, products)) in sums.iter_mut().zip(products).enumerate() {
                    let first = (i * N + row) * groups + turn * LANES;
                    ahead.halves(step, first);
                    let products = _mm512_cvtepi32_ps(_mm512_add_epi32(products, starts));
                    // SAFETY: only groups of the row are loaded.
                    *sum = _mm512_fmadd_ps(_mm512_mul_ps(unsafe { load(step, first, mask) }, products), steps, *sum);
                    if let Some(offset) = offset {
                        ahead.halves(offset, first);
                        // SAFETY: as above.
                        *sum = _mm512_fmadd_ps(unsafe { load(offset, first, mask) }, of_group, *sum);
                    }
                }
            }
            for (y, sum) in y.iter_mut().zip(sums) {
                let last = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(sum)));
                *y = total_of_vectors(_mm512_castps512_ps256(sum), last);
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

    /// The products of the sixteen groups of a turn in N rows; of a turn that is not whole, `bytes` of codes are left.
    ///
    /// # Safety
    /// The rows have these bytes, from row to row `stride`, and there are activations of a turn.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn turn_of_rows<const N: usize, const WHOLE: bool>(
        [codes, q]: [*const u8; 2],
        bytes: usize,
        stride: usize,
        table: __m512i,
        ahead: &mut Far,
    ) -> [__m512i; N] {
        let nibble = _mm512_set1_epi8(15);
        let mut quarters = [[_mm512_setzero_si512(); 4]; N];
        for i in 0..4 {
            if !WHOLE && bytes <= 64 * i {
                break;
            }
            let left = if WHOLE { 64 } else { (bytes - 64 * i).min(64) };
            // SAFETY: by the caller's contract.
            let (low, high) = unsafe {
                let q = q.add(128 * i);
                (_mm512_loadu_si512(q.cast()), _mm512_loadu_si512(q.add(64).cast()))
            };
            for (row, quarters) in quarters.iter_mut().enumerate() {
                ahead.next(left);
                let at = codes.wrapping_add(row * stride + 64 * i);
                // SAFETY: by the caller's contract.
                let packed = unsafe {
                    if WHOLE { _mm512_loadu_si512(at.cast()) } else { _mm512_maskz_loadu_epi8(u64::MAX >> (64 - left), at.cast()) }
                };
                let levels =
                    [packed, _mm512_srli_epi16::<4>(packed)].map(|codes| _mm512_shuffle_epi8(table, _mm512_and_si512(codes, nibble)));
                quarters[i] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), levels[0], low), levels[1], high);
            }
        }
        quarters.map(|[a, b, c, d]| {
            // Part k of quarter i is group 4i + k; its four sums become one, at place i of the part.
            let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            let sums = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
            _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), sums)
        })
    }
}
