//! Codes to floats, straight into the panels of a matrix product: eight codes at a time through a 16-entry table on AVX2.

use primal_device::grid::{self, Grid};

/// A grid weight as the packers read it, `[rows, in_features]`.
#[derive(Clone, Copy)]
pub struct Codes<'a> {
    /// Packed codes.
    pub codes: &'a [u8],
    /// Bytes of a packed row.
    pub row_bytes: usize,
    /// Row scales.
    pub scale: &'a [f32],
    /// The levels.
    pub grid: &'a Grid,
}

impl<'a> Codes<'a> {
    /// Checks the sizes.
    pub fn new(codes: &'a [u8], scale: &'a [f32], grid: &'a Grid, in_features: usize) -> Self {
        let row_bytes = grid::row_bytes(in_features);
        assert_eq!(codes.len(), scale.len() * row_bytes, "codes and scales of a weight");
        Self { codes, row_bytes, scale, grid }
    }

    fn weight(&self, row: usize, column: usize) -> f32 {
        self.scale[row] * self.grid.levels[grid::get(&self.codes[row * self.row_bytes..], column) as usize]
    }
}

/// Packs Wᵀ: panel columns are the weight's rows `row..row + rows`, depth runs along them from `k`.
pub(super) fn pack_codes_by_row(w: &Codes, k: usize, depth: usize, row: usize, rows: usize, width: usize, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    let avx2 = super::gemm::kernels().avx2 && width == 16 && k.is_multiple_of(8);
    for (p, panel) in out.chunks_exact_mut(depth * width).take(rows.div_ceil(width)).enumerate() {
        let first = p * width;
        let count = width.min(rows - first);
        let mut done = 0;
        #[cfg(target_arch = "x86_64")]
        if avx2 && count == 16 {
            done = depth / 8 * 8;
            // SAFETY: AVX2 was detected; 16 rows from `row + first` and `done` codes from `k` exist, the panel holds depth × 16 values.
            unsafe { avx2::rows_to_panel(w, k, done, row + first, panel) };
        }
        for (i, slots) in panel.chunks_exact_mut(width).enumerate().skip(done) {
            for (c, slot) in slots.iter_mut().enumerate() {
                *slot = if c < count { w.weight(row + first + c, k + i) } else { 0.0 };
            }
        }
    }
}

/// Packs W: panel columns are the weight's columns `column..column + columns`, depth runs down its rows from `k`.
pub(super) fn pack_codes_by_column(w: &Codes, k: usize, depth: usize, column: usize, columns: usize, width: usize, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    let avx2 = super::gemm::kernels().avx2 && width == 16 && column.is_multiple_of(16);
    for (p, panel) in out.chunks_exact_mut(depth * width).take(columns.div_ceil(width)).enumerate() {
        let first = p * width;
        #[cfg(target_arch = "x86_64")]
        if avx2 {
            // SAFETY: AVX2 was detected; rows are padded to 32 codes, so 16 codes from a multiple of 16 exist.
            unsafe { avx2::columns_to_panel(w, k, depth, column + first, panel) };
            continue;
        }
        let count = width.min(columns - first);
        for (i, slots) in panel.chunks_exact_mut(width).enumerate() {
            for (c, slot) in slots.iter_mut().enumerate() {
                *slot = if c < count { w.weight(k + i, column + first + c) } else { 0.0 };
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::Codes;

    /// Eight levels for the eight nibbles of `codes`, first nibble lowest.
    ///
    /// # Safety
    /// AVX2.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn eight_levels(codes: u32, low: __m256, high: __m256) -> __m256 {
        let shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
        let index = _mm256_srlv_epi32(_mm256_set1_epi32(codes as i32), shifts);
        // permutevar reads the low three bits; bit 3, moved to the sign, selects the half of the table.
        let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index));
        _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, index), _mm256_permutevar8x32_ps(high, index), upper)
    }

    /// # Safety
    /// AVX2; eight readable bytes from `byte` of the row on, or four if `byte` is the last word.
    #[inline]
    fn word(w: &Codes, row: usize, byte: usize) -> u32 {
        let start = row * w.row_bytes + byte;
        u32::from_le_bytes(w.codes[start..start + 4].try_into().expect("four bytes"))
    }

    /// Sixteen rows from `row`, `depth` (a multiple of 8) codes from `k`, transposed into `[depth][16]`.
    #[target_feature(enable = "avx2")]
    pub(super) fn rows_to_panel(w: &Codes, k: usize, depth: usize, row: usize, panel: &mut [f32]) {
        assert!(panel.len() >= depth * 16);
        // SAFETY: 16 levels.
        let (low, high) = unsafe { (_mm256_loadu_ps(w.grid.levels.as_ptr()), _mm256_loadu_ps(w.grid.levels.as_ptr().add(8))) };
        for i in (0..depth).step_by(8) {
            for half in 0..2 {
                let mut r = [_mm256_setzero_ps(); 8];
                for (j, lane) in r.iter_mut().enumerate() {
                    let at = row + half * 8 + j;
                    *lane = _mm256_mul_ps(eight_levels(word(w, at, (k + i) / 2), low, high), _mm256_set1_ps(w.scale[at]));
                }
                let columns = transpose(r);
                for (j, lane) in columns.into_iter().enumerate() {
                    // SAFETY: (i + j) < depth, and the panel holds depth × 16 values.
                    unsafe { _mm256_storeu_ps(panel.as_mut_ptr().add((i + j) * 16 + half * 8), lane) };
                }
            }
        }
    }

    /// `depth` rows from `k`, 16 codes from `column` (a multiple of 16), into `[depth][16]`.
    #[target_feature(enable = "avx2")]
    pub(super) fn columns_to_panel(w: &Codes, k: usize, depth: usize, column: usize, panel: &mut [f32]) {
        assert!(panel.len() >= depth * 16);
        // SAFETY: 16 levels.
        let (low, high) = unsafe { (_mm256_loadu_ps(w.grid.levels.as_ptr()), _mm256_loadu_ps(w.grid.levels.as_ptr().add(8))) };
        for i in 0..depth {
            let scale = _mm256_set1_ps(w.scale[k + i]);
            for half in 0..2 {
                let levels = eight_levels(word(w, k + i, column / 2 + half * 4), low, high);
                // SAFETY: i < depth, and the panel holds depth × 16 values.
                unsafe { _mm256_storeu_ps(panel.as_mut_ptr().add(i * 16 + half * 8), _mm256_mul_ps(levels, scale)) };
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
