//! One token's `y = x · Wᵀ` on the CPU.
//!
//! Where rows have scales, activations are rounded to integers of 13 bits over one step for the whole vector; weights are the integers of their grid over
//! its denominator (see `primal_device::grid`). So every dot product is an exact integer, and all row products give the same bits. The one error is
//! that rounding: at most half a step, max|x| / 8190, in each activation. A grid without a denominator goes the way of
//! `floats.rs`, groups with scales of their own that of `groups.rs`, and blocks of other formats that of `blocks.rs`.

use std::sync::OnceLock;

use multiversion::multiversion;
use primal_device::grid::{GROUP, Grid};
use primal_device::kernels::lut_gemv::{LARGEST, TINY};

use super::{LutGemv, blocks, floats, groups, q8_0};
use crate::backend::cpu::Cpu;
#[cfg(target_arch = "x86_64")]
use crate::backend::cpu::instructions;
use crate::backend::cpu::integers::{self, Levels, Order, Rounded};
use crate::backend::cpu::memory::Parts;
use crate::backend::cpu::quantized::Quantized;
use crate::backend::cpu::team;
use crate::backend::cpu::unpack::Codes;
use crate::backend::{BlockWeight, RunOn, Scales, Storage};
use crate::ops::linear::Linear;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

/// Bytes of codes that are worth a task of their own.
const TASK_BYTES: usize = 16 * 1024;
/// Tasks of a thread, if they are worth it: threads that are slower or later take fewer.
const TASKS: usize = 8;
/// Rows of a task are a multiple: products take several together.
const WHOLE: usize = 4;

/// A vector of integers `q` that stands for `step · q`.
struct Activations<'a> {
    /// In the order of a row product, padded with zeros to its blocks.
    q: &'a [i16],
    /// `step / denominator` of the weight's grid.
    factor: f64,
}

impl Activations<'_> {
    /// The float value of a dot product. The sum is below 2⁵³ for all inputs that fit into memory, so only the result is rounded.
    #[inline(always)]
    fn value(&self, sum: i64, scale: f32) -> f32 {
        (sum as f64 * self.factor * f64::from(scale)) as f32
    }
}

/// How a processor multiplies rows.
#[derive(Clone, Copy)]
pub struct RowProduct {
    /// The instruction set.
    pub name: &'static str,
    /// For each place in a block of activations, the one that the product wants there.
    order: &'static [u8],
    /// `y[i] = row i of the weight · x`.
    rows: unsafe fn(&mut [f32], &Codes, &Activations),
    /// As `rows`, where groups have scales.
    groups: unsafe fn(&mut [f32], &Codes, &groups::Activations, &Levels),
    /// As `rows`, of blocks of Q8_0.
    pub(super) blocks: unsafe fn(&mut [f32], &[u8], &q8_0::Activations),
}

impl RowProduct {
    /// The row products that this processor can run, the fastest first.
    pub fn all() -> Vec<Self> {
        let mut products = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let has_vectors = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl");
            if instructions::allows_avx512() && has_vectors && is_x86_feature_detected!("avx512vnni") {
                products.push(Self {
                    name: "AVX-512",
                    order: &avx512::ORDER,
                    rows: avx512::rows,
                    groups: groups::avx512::rows,
                    blocks: q8_0::avx512,
                });
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
                products.push(Self { name: "AVX2", order: &avx2::ORDER, rows: avx2::rows, groups: groups::avx2::rows, blocks: q8_0::avx2 });
            }
        }
        products.push(Self { name: "portable", order: &NATURAL, rows: portable, groups: groups::portable, blocks: q8_0::portable });
        products
    }

    /// The fastest row product that this processor has.
    pub fn best() -> Self {
        static BEST: OnceLock<RowProduct> = OnceLock::new();
        *BEST.get_or_init(|| Self::all()[0])
    }
}

impl RunOn<Cpu> for LutGemv {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { y, x, weight } = self;
        let grid = match weight.storage {
            Storage::Grid(grid) => grid,
            Storage::Float(_) => return Linear { y: y.into(), x: x.into(), weight, rows: 1 }.run_on(cpu),
            Storage::Blocks(BlockWeight { dtype, bytes }) => {
                let ((y, scratch), (x, bytes)) = cpu.split((y, cpu.scratch()), (x, bytes));
                return blocks::lut_gemv(y, x, &Quantized::new(bytes, dtype, weight.in_features), RowProduct::best(), scratch);
            }
        };
        let ((y, scratch), (x, codes, scales)) = cpu.split((y, cpu.scratch()), (x, grid.codes, grid.scales));
        let w = Codes::new(codes, scales, grid.grid, weight.in_features);
        lut_gemv(y, x, &w, RowProduct::best(), scratch);
    }
}

/// Values of scratch that a product of so many inputs needs: quantised activations, two in each value, or those of groups.
pub fn scratch_len(inputs: usize) -> usize {
    inputs.next_multiple_of(groups::TURN) / 2
}

/// `y = x · Wᵀ`; x `[inputs]`, y `[outputs]`. `scratch` has [`scratch_len`] values. On a grid without a denominator levels are looked up as
/// floats, whatever the row product.
pub fn lut_gemv(y: &mut [f32], x: &[f32], w: &Codes, product: RowProduct, scratch: &mut [f32]) {
    let Some(denominator) = w.grid().denominator() else { return floats::lut_gemv(y, x, w) };
    match w.scaling.scales {
        Scales::Row(_) => {
            let q = bytemuck::cast_slice_mut(&mut scratch[..scratch_len(x.len())]);
            let step = quantise(q, x, product.order);
            let x = Activations { q, factor: f64::from(step) / f64::from(denominator) };
            // SAFETY: `RowProduct::all` gives only those that this processor can run.
            in_tasks(y, w.row_bytes, |y, first| unsafe { (product.rows)(y, &w.rows(first, y.len()), &x) });
        }
        Scales::Group32 { .. } | Scales::Group32Offset { .. } => {
            let levels = Levels::new(w).filter(|levels| levels.largest <= groups::NARROW);
            // Of no use to the portable product.
            let wide = Levels { above_lowest: [0; 16], lowest: 0, largest: u8::MAX };
            let (rows, levels) = levels.map_or((groups::portable as _, wide), |levels| (product.groups, levels));
            let rounded = Rounded::new(scratch, x.len().next_multiple_of(groups::TURN) / GROUP);
            let Rounded { q, steps, starts, sums } = integers::round(rounded, x, levels.lowest, Order::NibblesOfFour);
            let x = groups::Activations { q, steps, starts, sums };
            // SAFETY: as above.
            in_tasks(y, w.row_bytes, |y, first| unsafe { rows(y, &w.rows(first, y.len()), &x, &levels) });
        }
    }
}

/// Runs `rows` on parts of y and the numbers of their first rows of the weight, over the threads of the pool.
pub(super) fn in_tasks(y: &mut [f32], row_bytes: usize, rows: impl Fn(&mut [f32], usize) + Sync) {
    let share = y.len().div_ceil(TASKS * rayon::current_num_threads());
    let of_task = share.max(TASK_BYTES / row_bytes).max(1).next_multiple_of(WHOLE);
    let (outputs, y) = (y.len(), Parts::new(y));
    team::for_each(outputs.div_ceil(of_task), |task| {
        let first = task * of_task;
        // SAFETY: each row is one task's.
        rows(unsafe { y.part(first, of_task.min(outputs - first)) }, first);
    });
}

/// Rounds `x / step` to integers, block by block in `order`; returns the step, or NaN if a value is not finite.
#[multiversion(targets("x86_64+avx2"))]
fn quantise(q: &mut [i16], x: &[f32], order: &[u8]) -> f32 {
    // Adding 1.5·2²³ rounds to the nearest even integer and leaves it in the low bits, two's complement.
    const ROUND: f32 = 12_582_912.0;
    // As integers, magnitudes keep their order, and NaN comes last.
    let largest = f32::from_bits(x.iter().map(|x| x.abs().to_bits()).max().unwrap_or(0));
    if largest < TINY {
        q.fill(0);
        return 0.0;
    }
    let inverse = LARGEST as f32 / largest;
    for (block, x) in q.chunks_exact_mut(order.len()).zip(x.chunks(order.len())) {
        let mut natural = [0i16; 128];
        for (q, x) in natural.iter_mut().zip(x) {
            *q = (x * inverse + ROUND).to_bits() as i16;
        }
        for (slot, &from) in block.iter_mut().zip(order) {
            *slot = natural[usize::from(from) % 128];
        }
    }
    q[x.len().next_multiple_of(order.len())..].fill(0);
    if largest.is_finite() { largest / LARGEST as f32 } else { f32::NAN }
}

/// The order of activations without one.
const NATURAL: [u8; 32] = {
    let mut order = [0; 32];
    let mut at = 0;
    while at < 32 {
        order[at] = at as u8;
        at += 1;
    }
    order
};

/// How many sums of two products of an activation and a level's integer fit into an `i32`: 8 on prime15, 113 on prime13, thousands on the others.
fn pairs_in_i32(grid: &Grid) -> usize {
    (i32::MAX / (2 * LARGEST * grid.largest_integer())) as usize
}

/// The scales of rows, which this file's kernels are for.
fn row_scales<'a>(w: &Codes<'a>) -> &'a [f32] {
    match w.scaling.scales {
        Scales::Row(scale) => scale,
        Scales::Group32 { .. } | Scales::Group32Offset { .. } => panic!("scales of rows"),
    }
}

/// Activations in their natural order.
fn portable(y: &mut [f32], w: &Codes, x: &Activations) {
    let integer = |code: u8| i32::from(w.grid().integers[usize::from(code)]);
    let block = pairs_in_i32(w.grid());
    for ((y, codes), &scale) in y.iter_mut().zip(w.codes.chunks_exact(w.row_bytes)).zip(row_scales(w)) {
        let blocks = codes.chunks(block).zip(x.q.chunks(2 * block));
        let sums = blocks.map(|(codes, q)| {
            let pairs = codes.iter().zip(q.chunks_exact(2));
            pairs.map(|(&pair, q)| integer(pair & 15) * i32::from(q[0]) + integer(pair >> 4) * i32::from(q[1])).sum::<i32>()
        });
        *y = x.value(sums.map(i64::from).sum(), scale);
    }
}

/// Calls a row product's two forms on the rows in whole groups and on the rest.
#[cfg(target_arch = "x86_64")]
fn in_groups(y: &mut [f32], w: &Codes, mut group: impl FnMut(&mut [f32], Codes), mut single: impl FnMut(&mut [f32], Codes)) {
    let whole = y.len() / super::ahead::ROWS * super::ahead::ROWS;
    let (grouped, rest) = y.split_at_mut(whole);
    group(grouped, w.rows(0, whole));
    single(rest, w.rows(whole, rest.len()));
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::super::ahead::{Near, ROWS};
    use super::{Activations, Codes, in_groups, pairs_in_i32, row_scales};

    /// Activations of a step: 32 bytes of codes.
    const STEP: usize = 64;

    /// Unpacking the bytes of the low nibbles' levels gives those of codes 0, 2 … 14 of each half, then of 16, 18 … 30; then the high nibbles'.
    pub(super) const ORDER: [u8; STEP] = {
        let mut order = [0; STEP];
        let mut at = 0;
        while at < STEP {
            let (nibble, upper, half, byte) = (at / 32, at / 16 % 2, at / 8 % 2, at % 8);
            order[at] = (32 * half + 2 * (8 * upper + byte) + nibble) as u8;
            at += 1;
        }
        order
    };

    #[target_feature(enable = "avx2")]
    pub(super) fn rows(y: &mut [f32], w: &Codes, x: &Activations) {
        in_groups(y, w, |y, w| group::<ROWS>(y, &w, x), |y, w| group::<1>(y, &w, x));
    }

    #[target_feature(enable = "avx2")]
    fn group<const N: usize>(y: &mut [f32], w: &Codes, x: &Activations) {
        let steps = w.row_bytes.div_ceil(STEP / 2);
        assert!(x.q.len() >= steps * STEP);
        let byte = |shift: u32| {
            let bytes = w.grid().integers.map(|integer| (integer >> shift) as u8);
            // SAFETY: 16 bytes.
            _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
        };
        let (low, high) = (byte(0), byte(8));
        let (nibble, block) = (_mm256_set1_epi8(15), pairs_in_i32(w.grid()) / 4);
        let mut ahead = Near::new(w.codes, N * w.row_bytes);
        let groups = y.chunks_exact_mut(N).zip(w.codes.chunks_exact(N * w.row_bytes)).zip(row_scales(w).chunks_exact(N));
        for ((y, codes), scale) in groups {
            let mut totals = [_mm256_setzero_si256(); N];
            for first in (0..steps).step_by(block) {
                let mut sums = [_mm256_setzero_si256(); N];
                for step in first..steps.min(first + block) {
                    let whole = w.row_bytes - step * STEP / 2 >= STEP / 2;
                    for (row, sum) in sums.iter_mut().enumerate() {
                        ahead.next(if whole { STEP / 2 } else { 16 });
                        let at = codes.as_ptr().wrapping_add(row * w.row_bytes + step * STEP / 2);
                        // SAFETY: a row is a multiple of 16 bytes, of which 16 are left at least, or 32; activations were counted above.
                        let (packed, q) = unsafe {
                            let packed =
                                if whole { _mm256_loadu_si256(at.cast()) } else { _mm256_zextsi128_si256(_mm_loadu_si128(at.cast())) };
                            let q = x.q.as_ptr().add(step * STEP).cast::<__m256i>();
                            (packed, [0, 1, 2, 3].map(|i| _mm256_loadu_si256(q.add(i))))
                        };
                        let nibbles = [packed, _mm256_srli_epi16::<4>(packed)].map(|codes| _mm256_and_si256(codes, nibble));
                        for (i, codes) in nibbles.into_iter().enumerate() {
                            let (low, high) = (_mm256_shuffle_epi8(low, codes), _mm256_shuffle_epi8(high, codes));
                            let first = _mm256_madd_epi16(_mm256_unpacklo_epi8(low, high), q[2 * i]);
                            let second = _mm256_madd_epi16(_mm256_unpackhi_epi8(low, high), q[2 * i + 1]);
                            *sum = _mm256_add_epi32(*sum, _mm256_add_epi32(first, second));
                        }
                    }
                }
                for (total, sum) in totals.iter_mut().zip(sums) {
                    *total = _mm256_add_epi64(*total, _mm256_cvtepi32_epi64(_mm256_castsi256_si128(sum)));
                    *total = _mm256_add_epi64(*total, _mm256_cvtepi32_epi64(_mm256_extracti128_si256::<1>(sum)));
                }
            }
            for ((y, total), &scale) in y.iter_mut().zip(totals).zip(scale) {
                let halves = _mm_add_epi64(_mm256_castsi256_si128(total), _mm256_extracti128_si256::<1>(total));
                *y = x.value(_mm_cvtsi128_si64(_mm_add_epi64(halves, _mm_unpackhi_epi64(halves, halves))), scale);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::super::ahead::{Near, ROWS};
    use super::{Activations, Codes, in_groups, pairs_in_i32, row_scales};

    /// Activations of a step: 64 bytes of codes.
    const STEP: usize = 128;

    /// Each 16-bit word of codes is four weights; a vector takes the first nibble of every word, the next the second.
    pub(super) const ORDER: [u8; STEP] = {
        let mut order = [0; STEP];
        let mut at = 0;
        while at < STEP {
            order[at] = (at % 32 * 4 + at / 32) as u8;
            at += 1;
        }
        order
    };

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn rows(y: &mut [f32], w: &Codes, x: &Activations) {
        in_groups(y, w, |y, w| group::<ROWS>(y, &w, x), |y, w| group::<1>(y, &w, x));
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn group<const N: usize>(y: &mut [f32], w: &Codes, x: &Activations) {
        let steps = w.row_bytes.div_ceil(STEP / 2);
        assert!(x.q.len() >= steps * STEP);
        // SAFETY: 16 integers of 16 bits.
        let table = unsafe { _mm256_loadu_si256(w.grid().integers.as_ptr().cast()) };
        // Twice, so that the look-up does not mind bit 4, the lowest of the next nibble.
        let (table, block) = (_mm512_broadcast_i64x4(table), pairs_in_i32(w.grid()) / 4);
        let mut ahead = Near::new(w.codes, N * w.row_bytes);
        let groups = y.chunks_exact_mut(N).zip(w.codes.chunks_exact(N * w.row_bytes)).zip(row_scales(w).chunks_exact(N));
        for ((y, codes), scale) in groups {
            let mut totals = [_mm512_setzero_si512(); N];
            for first in (0..steps).step_by(block) {
                let mut sums = [[_mm512_setzero_si512(); 2]; N];
                for step in first..steps.min(first + block) {
                    let left = (w.row_bytes - step * STEP / 2).min(STEP / 2);
                    let mask = u64::MAX >> (64 - left);
                    for (row, sums) in sums.iter_mut().enumerate() {
                        ahead.next(left);
                        let at = codes.as_ptr().wrapping_add(row * w.row_bytes + step * STEP / 2);
                        // SAFETY: only bytes of the row are loaded; activations were counted above.
                        let (packed, q) = unsafe {
                            let q = x.q.as_ptr().add(step * STEP).cast::<__m512i>();
                            (_mm512_maskz_loadu_epi8(mask, at.cast()), [0, 1, 2, 3].map(|i| _mm512_loadu_si512(q.add(i))))
                        };
                        let nibbles =
                            [packed, _mm512_srli_epi16::<4>(packed), _mm512_srli_epi16::<8>(packed), _mm512_srli_epi16::<12>(packed)];
                        for (i, codes) in nibbles.into_iter().enumerate() {
                            sums[i % 2] = _mm512_dpwssd_epi32(sums[i % 2], _mm512_permutexvar_epi16(codes, table), q[i]);
                        }
                    }
                }
                for (total, [even, odd]) in totals.iter_mut().zip(sums) {
                    let sum = _mm512_add_epi32(even, odd);
                    *total = _mm512_add_epi64(*total, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(sum)));
                    *total = _mm512_add_epi64(*total, _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64::<1>(sum)));
                }
            }
            for ((y, total), &scale) in y.iter_mut().zip(totals).zip(scale) {
                *y = x.value(_mm512_reduce_add_epi64(total), scale);
            }
        }
    }
}
