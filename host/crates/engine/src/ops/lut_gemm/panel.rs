//! A panel of a weight: some outputs and groups of inputs, unpacked once for all rows that are multiplied by it.

use half::f16;
use primal_device::grid::{GROUP, half_value};

use super::kernels::Kernel;
use crate::backend::Scales;
use crate::backend::cpu::integers::Levels;
use crate::backend::cpu::unpack::Codes;

/// Outputs of a panel.
pub const OUTPUTS: usize = 32;
/// Groups of a panel, at most: with their factors and offsets, 20 KiB in L1.
pub const GROUPS: usize = 16;
/// Four inputs of all outputs, next to each other as the kernels multiply them.
pub const QUAD: usize = 4 * OUTPUTS;
/// Bytes of a group of all outputs.
pub const GROUP_BYTES: usize = GROUP * OUTPUTS;

/// An unpacked panel.
#[repr(C, align(64))]
pub struct Panel {
    /// The integers of levels less the lowest, `[groups, 8, outputs, 4]`; within a group inputs are in
    /// [`Order::Nibbles`](crate::backend::cpu::integers::Order::Nibbles), and of outputs that
    /// the weight does not have all is zero.
    pub levels: [u8; GROUPS * GROUP_BYTES],
    /// What the integers of a group are multiplied by.
    pub factors: [[f32; OUTPUTS]; GROUPS],
    /// What is added to each weight of a group, if there are offsets.
    pub offsets: [[f32; OUTPUTS]; GROUPS],
}

impl Panel {
    /// Unpacks `groups` groups of the weight's rows from `output` on, from the group `first` on.
    pub fn fill(&mut self, w: &Codes, levels: &Levels, kernel: &Kernel, [output, first, groups]: [usize; 3]) {
        let all = w.codes.len() / w.row_bytes;
        let outputs = OUTPUTS.min(all - output);
        if outputs < OUTPUTS {
            self.levels.fill(0);
            (self.factors, self.offsets) = ([[0.0; OUTPUTS]; GROUPS], [[0.0; OUTPUTS]; GROUPS]);
        }
        let codes = &w.codes[output * w.row_bytes..][..outputs * w.row_bytes];
        // SAFETY: `Kernel::all` gives only those that this processor can run.
        unsafe { (kernel.unpack)(&mut self.levels, codes, w.row_bytes, &levels.above_lowest, [first, groups]) };
        match w.scaling.scales {
            Scales::Row(scale) => {
                let denominator = w.grid().denominator().expect("a denominator") as f32;
                let factors: [f32; OUTPUTS] = std::array::from_fn(|i| scale.get(output + i).map_or(0.0, |scale| scale / denominator));
                self.factors[..groups].fill(factors);
            }
            Scales::Group32 { step } => transpose(&mut self.factors, step, w, [output, outputs, first, groups]),
            Scales::Group32Offset { step, offset } => {
                transpose(&mut self.factors, step, w, [output, outputs, first, groups]);
                transpose(&mut self.offsets, offset, w, [output, outputs, first, groups]);
            }
        }
    }
}

/// The values of some outputs and groups.
fn transpose(to: &mut [[f32; OUTPUTS]; GROUPS], halves: &[f16], w: &Codes, [output, outputs, first, groups]: [usize; 4]) {
    let of_row = 2 * w.row_bytes / GROUP;
    for i in 0..outputs {
        let halves = &halves[(output + i) * of_row + first..][..groups];
        for (to, half) in to.iter_mut().zip(halves) {
            to[i] = half_value(half.to_bits());
        }
    }
}

/// Unpacks codes, a row each `row_bytes`.
pub fn unpack(levels: &mut [u8], codes: &[u8], row_bytes: usize, table: &[u8; 16], [first, groups]: [usize; 2]) {
    unpack_rows(levels, codes, row_bytes, table, [first, groups], 0);
}

fn unpack_rows(levels: &mut [u8], codes: &[u8], row_bytes: usize, table: &[u8; 16], [first, groups]: [usize; 2], from: usize) {
    for (output, codes) in codes.chunks_exact(row_bytes).enumerate().skip(from) {
        let codes = codes[first * GROUP / 2..].chunks_exact(GROUP / 2).take(groups);
        for (codes, levels) in codes.zip(levels.chunks_exact_mut(GROUP_BYTES)) {
            for (i, &pair) in codes.iter().enumerate() {
                let at = i / 4 * QUAD + 4 * output + i % 4;
                levels[at] = table[usize::from(pair & 15)];
                levels[at + GROUP_BYTES / 2] = table[usize::from(pair >> 4)];
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub mod avx2 {
    use std::arch::x86_64::*;

    use super::{GROUP, GROUP_BYTES, QUAD, unpack_rows};

    /// Rows that are transposed together.
    const ROWS: usize = 8;

    /// As the portable one.
    #[target_feature(enable = "avx2")]
    pub fn unpack(levels: &mut [u8], codes: &[u8], row_bytes: usize, table: &[u8; 16], [first, groups]: [usize; 2]) {
        let whole = codes.len() / row_bytes / ROWS * ROWS;
        assert!((first + groups) * GROUP / 2 <= row_bytes && levels.len() >= groups * GROUP_BYTES);
        // SAFETY: 16 bytes.
        let table_vector = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().cast()) });
        for output in (0..whole).step_by(ROWS) {
            for group in 0..groups {
                let rows: [__m256i; ROWS] = std::array::from_fn(|i| {
                    let at = (output + i) * row_bytes + (first + group) * GROUP / 2;
                    // SAFETY: a group of a row has 16 bytes, counted above.
                    let packed = unsafe { _mm_loadu_si128(codes.as_ptr().add(at).cast()) };
                    let both = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(packed), _mm_srli_epi16::<4>(packed));
                    _mm256_shuffle_epi8(table_vector, _mm256_and_si256(both, _mm256_set1_epi8(15)))
                });
                for (quad, values) in transposed(rows).into_iter().enumerate() {
                    let slots = &mut levels[group * GROUP_BYTES + quad * QUAD + 4 * output..][..32];
                    // SAFETY: 32 bytes.
                    unsafe { _mm256_storeu_si256(slots.as_mut_ptr().cast(), values) };
                }
            }
        }
        unpack_rows(levels, codes, row_bytes, table, [first, groups], whole);
    }

    /// The transpose of 8 × 8 words.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn transposed(rows: [__m256i; 8]) -> [__m256i; 8] {
        let [a, b, c, d, e, f, g, h] = rows;
        let pairs = |a, b| [_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)];
        let [ab, cd, ef, gh] = [pairs(a, b), pairs(c, d), pairs(e, f), pairs(g, h)];
        let fours = |x: [__m256i; 2], y: [__m256i; 2]| {
            [
                _mm256_unpacklo_epi64(x[0], y[0]),
                _mm256_unpackhi_epi64(x[0], y[0]),
                _mm256_unpacklo_epi64(x[1], y[1]),
                _mm256_unpackhi_epi64(x[1], y[1]),
            ]
        };
        let (low, high) = (fours(ab, cd), fours(ef, gh));
        std::array::from_fn(|i| {
            if i < 4 {
                _mm256_permute2x128_si256::<0x20>(low[i], high[i])
            } else {
                _mm256_permute2x128_si256::<0x31>(low[i - 4], high[i - 4])
            }
        })
    }
}
