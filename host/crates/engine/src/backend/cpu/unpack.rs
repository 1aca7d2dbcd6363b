//! Codes to floats, straight into the panels of a matrix product: eight codes at a time through a 16-entry table on AVX2.

use half::f16;
use primal_device::grid::{self, Grid};

#[cfg(target_arch = "x86_64")]
use super::microkernel::micro_kernels;
use super::scaling::Scaling;
use crate::backend::Scales;

/// A panel of the right operand as a packer fills it: `[depth][stride]`, of which `columns` are in use.
#[derive(Clone, Copy)]
pub struct Panel {
    /// First k.
    pub k: usize,
    /// How many k the panel has.
    pub depth: usize,
    /// First column.
    pub column: usize,
    /// Columns in use.
    pub columns: usize,
    /// Values from one k to the next: whole vectors.
    pub stride: usize,
}

/// A grid weight as the packers read it, `[rows, in_features]`.
#[derive(Clone, Copy)]
pub struct Codes<'a> {
    /// Packed codes.
    pub(crate) codes: &'a [u8],
    /// Bytes of a packed row.
    pub(crate) row_bytes: usize,
    /// What makes weights of them.
    pub(crate) scaling: Scaling<'a>,
}

impl<'a> Codes<'a> {
    /// Checks the sizes.
    pub fn new(codes: &'a [u8], scales: Scales<&'a [f32], &'a [f16]>, grid: &'a Grid, in_features: usize) -> Self {
        let (row_bytes, scaling) = (grid::row_bytes(in_features), Scaling::new(scales, grid, in_features));
        assert_eq!(codes.len(), scaling.count() * row_bytes, "codes and scales of a weight");
        Self { codes, row_bytes, scaling }
    }

    /// The levels.
    pub(crate) fn grid(&self) -> &'a Grid {
        self.scaling.grid
    }

    /// `count` rows from the `first` on.
    pub(crate) fn rows(&self, first: usize, count: usize) -> Self {
        let codes = &self.codes[first * self.row_bytes..][..count * self.row_bytes];
        Self { codes, scaling: self.scaling.rows(first, count), ..*self }
    }

    /// The code of a weight.
    pub(crate) fn code(&self, row: usize, column: usize) -> u8 {
        grid::get(&self.codes[row * self.row_bytes..], column)
    }

    /// The value of a weight.
    pub(crate) fn weight(&self, row: usize, column: usize) -> f32 {
        self.scaling.weight(row, column, self.code(row, column))
    }
}

/// Packs Wᵀ: panel columns are the weight's rows, depth runs along them.
pub(super) fn pack_codes_by_row(w: &Codes, at: Panel, out: &mut [f32]) {
    let mut done = [0, 0];
    #[cfg(target_arch = "x86_64")]
    if micro_kernels().avx2 && at.k.is_multiple_of(8) {
        done = [at.depth / 8 * 8, at.columns / 8 * 8];
        // SAFETY: AVX2 was detected; `done` rows and codes from `at` exist, and the panel has their place.
        unsafe { avx2::codes_by_row(w, at, done, out) };
    }
    pack_rest(at, done, out, |row, k| w.weight(row, k));
}

/// Packs the transpose of `[columns, k]` floats, `stride` apart.
pub(super) fn pack_floats_by_row(data: &[f32], stride: usize, at: Panel, out: &mut [f32]) {
    let mut done = [0, 0];
    #[cfg(target_arch = "x86_64")]
    if micro_kernels().avx2 {
        done = [at.depth / 8 * 8, at.columns / 8 * 8];
        // SAFETY: AVX2 was detected.
        unsafe { avx2::floats_by_row(data, stride, at, done, out) };
    }
    pack_rest(at, done, out, |row, k| data[row * stride + k]);
}

/// What lies outside of the first `done` = `[depth, columns]` of a panel.
fn pack_rest(at: Panel, done: [usize; 2], out: &mut [f32], value: impl Fn(usize, usize) -> f32) {
    for (i, slots) in out.chunks_exact_mut(at.stride).enumerate() {
        let first = if i < done[0] { done[1] } else { 0 };
        for (c, slot) in slots.iter_mut().enumerate().skip(first) {
            *slot = if c < at.columns { value(at.column + c, at.k + i) } else { 0.0 };
        }
    }
}

/// Packs W: panel columns are the weight's columns, depth runs down its rows.
pub(super) fn pack_codes_by_column(w: &Codes, at: Panel, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if micro_kernels().avx2 && at.column.is_multiple_of(8) && at.stride.is_multiple_of(8) && at.column + at.stride <= 2 * w.row_bytes {
        // SAFETY: AVX2 was detected; the row has whole vectors of codes from the column on.
        unsafe { avx2::codes_by_column(w, at, out) };
        return;
    }
    for (i, slots) in out.chunks_exact_mut(at.stride).enumerate() {
        for (c, slot) in slots.iter_mut().enumerate() {
            *slot = if c < at.columns { w.weight(at.k + i, at.column + c) } else { 0.0 };
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2 {
    use std::arch::x86_64::*;

    use super::{Codes, Panel};

    /// Eight levels for the eight nibbles of `codes`, first nibble lowest.
    ///
    /// # Safety
    /// AVX2.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(crate) fn eight_levels(codes: u32, low: __m256, high: __m256) -> __m256 {
        let shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
        let index = _mm256_srlv_epi32(_mm256_set1_epi32(codes as i32), shifts);
        // permutevar reads the low three bits; bit 3, moved to the sign, selects the half of the table.
        let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index));
        _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, index), _mm256_permutevar8x32_ps(high, index), upper)
    }

    /// Eight weights of one group.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(crate) fn scaled(values: __m256, (factor, offset): (f32, Option<f32>)) -> __m256 {
        let product = _mm256_mul_ps(values, _mm256_set1_ps(factor));
        match offset {
            Some(offset) => _mm256_add_ps(product, _mm256_set1_ps(offset)),
            None => product,
        }
    }

    /// Eight codes from `byte` of the row on.
    #[inline]
    fn word(w: &Codes, row: usize, byte: usize) -> u32 {
        let start = row * w.row_bytes + byte;
        u32::from_le_bytes(w.codes[start..start + 4].try_into().expect("four bytes"))
    }

    /// The levels of a grid, in two registers.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(crate) fn table(levels: &[f32; 16]) -> [__m256; 2] {
        // SAFETY: 16 levels.
        unsafe { [_mm256_loadu_ps(levels.as_ptr()), _mm256_loadu_ps(levels.as_ptr().add(8))] }
    }

    /// Eight columns of eight values each into the panel, transposed.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn store(columns: [__m256; 8], stride: usize, at: &mut [f32]) {
        assert!(at.len() >= 7 * stride + 8);
        for (j, lane) in transpose(columns).into_iter().enumerate() {
            // SAFETY: row j ends at j·stride + 8, within the length just checked.
            unsafe { _mm256_storeu_ps(at.as_mut_ptr().add(j * stride), lane) };
        }
    }

    /// The first `depth` codes of the first `columns` rows, both multiples of 8, transposed.
    #[target_feature(enable = "avx2")]
    pub(super) fn codes_by_row(w: &Codes, at: Panel, [depth, columns]: [usize; 2], panel: &mut [f32]) {
        let [low, high] = table(&w.scaling.table());
        for i in (0..depth).step_by(8) {
            for c in (0..columns).step_by(8) {
                let mut r = [_mm256_setzero_ps(); 8];
                for (j, lane) in r.iter_mut().enumerate() {
                    let row = at.column + c + j;
                    *lane = scaled(eight_levels(word(w, row, (at.k + i) / 2), low, high), w.scaling.factor(row, at.k + i));
                }
                store(r, at.stride, &mut panel[i * at.stride + c..]);
            }
        }
    }

    /// The first `depth` values of the first `columns` rows, both multiples of 8, transposed; rows are `stride` values apart.
    #[target_feature(enable = "avx2")]
    pub(super) fn floats_by_row(data: &[f32], stride: usize, at: Panel, [depth, columns]: [usize; 2], panel: &mut [f32]) {
        for i in (0..depth).step_by(8) {
            for c in (0..columns).step_by(8) {
                let mut r = [_mm256_setzero_ps(); 8];
                for (j, lane) in r.iter_mut().enumerate() {
                    let source = &data[(at.column + c + j) * stride + at.k + i..][..8];
                    // SAFETY: eight values.
                    *lane = unsafe { _mm256_loadu_ps(source.as_ptr()) };
                }
                store(r, at.stride, &mut panel[i * at.stride + c..]);
            }
        }
    }

    /// Whole vectors of codes from a column that is a multiple of 8.
    #[target_feature(enable = "avx2")]
    pub(super) fn codes_by_column(w: &Codes, at: Panel, panel: &mut [f32]) {
        let [low, high] = table(&w.scaling.table());
        for (i, slots) in panel.chunks_exact_mut(at.stride).enumerate() {
            let row = at.k + i;
            for (c, slots) in slots.chunks_exact_mut(8).enumerate() {
                let levels = eight_levels(word(w, row, at.column / 2 + c * 4), low, high);
                // SAFETY: eight slots.
                unsafe { _mm256_storeu_ps(slots.as_mut_ptr(), scaled(levels, w.scaling.factor(row, at.column + c * 8))) };
            }
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn transpose(r: [__m256; 8]) -> [__m256; 8] {
        let t = [
            _mm256_unpacklo_ps(r[0], r[1]),
            _mm256_unpackhi_ps(r[0], r[1]),
            _mm256_unpacklo_ps(r[2], r[3]),
            _mm256_unpackhi_ps(r[2], r[3]),
            _mm256_unpacklo_ps(r[4], r[5]),
            _mm256_unpackhi_ps(r[4], r[5]),
            _mm256_unpacklo_ps(r[6], r[7]),
            _mm256_unpackhi_ps(r[6], r[7]),
        ];
        let u = [
            _mm256_shuffle_ps::<0x44>(t[0], t[2]),
            _mm256_shuffle_ps::<0xEE>(t[0], t[2]),
            _mm256_shuffle_ps::<0x44>(t[1], t[3]),
            _mm256_shuffle_ps::<0xEE>(t[1], t[3]),
            _mm256_shuffle_ps::<0x44>(t[4], t[6]),
            _mm256_shuffle_ps::<0xEE>(t[4], t[6]),
            _mm256_shuffle_ps::<0x44>(t[5], t[7]),
            _mm256_shuffle_ps::<0xEE>(t[5], t[7]),
        ];
        [
            _mm256_permute2f128_ps::<0x20>(u[0], u[4]),
            _mm256_permute2f128_ps::<0x20>(u[1], u[5]),
            _mm256_permute2f128_ps::<0x20>(u[2], u[6]),
            _mm256_permute2f128_ps::<0x20>(u[3], u[7]),
            _mm256_permute2f128_ps::<0x31>(u[0], u[4]),
            _mm256_permute2f128_ps::<0x31>(u[1], u[5]),
            _mm256_permute2f128_ps::<0x31>(u[2], u[6]),
            _mm256_permute2f128_ps::<0x31>(u[3], u[7]),
        ]
    }
}
