//! Grid weights and their votes, sixteen of a row at a time.

use multiversion::multiversion;
use primal_device::grid::Grid;
use primal_device::kernels::sizes::blocks::BLOCK;
use primal_device::vote::VoteBits;

/// Rows that a task takes at least.
pub const MIN_ROWS: usize = 16;

/// How many weights flipped, and how many sit at a rail of the grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Codes that changed.
    pub flipped: u32,
    /// Codes at the first or last level.
    pub at_rail: u32,
}

impl Counts {
    /// Both together.
    #[inline]
    pub fn plus(self, other: Self) -> Self {
        Self { flipped: self.flipped + other.flipped, at_rail: self.at_rail + other.at_rail }
    }

    /// Counts a weight by its code before and after.
    #[inline]
    pub fn count(&mut self, grid: &Grid, before: u8, after: u8) {
        self.flipped += u32::from(before != after);
        self.at_rail += u32::from(after == grid.min || after == grid.max);
    }

    /// As ops write them: `[flipped, at a rail]`.
    #[inline]
    pub fn words(self) -> [u32; 2] {
        [self.flipped, self.at_rail]
    }
}

/// Codes of a block of a row.
#[inline]
pub fn load_codes(row: &[u8], block: usize) -> [u8; BLOCK] {
    let bytes = &row[block * BLOCK / 2..][..BLOCK / 2];
    std::array::from_fn(|i| (bytes[i / 2] >> (i % 2 * 4)) & 15)
}

/// Writes the codes of a block of a row.
#[inline]
pub fn store_codes(row: &mut [u8], block: usize, codes: &[u8; BLOCK]) {
    let bytes = &mut row[block * BLOCK / 2..][..BLOCK / 2];
    for (byte, pair) in bytes.iter_mut().zip(codes.chunks_exact(2)) {
        *byte = pair[0] | pair[1] << 4;
    }
}

/// Votes of a block of a row.
#[inline]
pub fn load_votes(bits: VoteBits, row: &[u8], block: usize) -> [i8; BLOCK] {
    match bits {
        VoteBits::Eight => {
            let bytes = &row[block * BLOCK..][..BLOCK];
            std::array::from_fn(|i| bytes[i] as i8)
        }
        VoteBits::Four => load_codes(row, block).map(|nibble| nibble as i8 - 8),
    }
}

/// Writes the votes of a block of a row.
#[inline]
pub fn store_votes(bits: VoteBits, row: &mut [u8], block: usize, votes: &[i8; BLOCK]) {
    match bits {
        VoteBits::Eight => row[block * BLOCK..][..BLOCK].copy_from_slice(&votes.map(|v| v as u8)),
        VoteBits::Four => store_codes(row, block, &votes.map(|v| (v + 8) as u8)),
    }
}

/// `Σ of(g)` in sixteen running sums.
#[inline(always)]
pub fn lanes_sum(dw: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0f32; BLOCK];
    for chunk in dw.chunks(BLOCK) {
        for (sum, &g) in sums.iter_mut().zip(chunk) {
            *sum += of(g);
        }
    }
    sums.iter().sum()
}

/// `Σ g²` in sixteen running sums.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
pub fn row_squares(dw: &[f32]) -> f32 {
    lanes_sum(dw, |g| g * g)
}
