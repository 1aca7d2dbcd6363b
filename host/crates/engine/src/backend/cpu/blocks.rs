//! Grid weights and their votes, sixteen of a row at a time.

use multiversion::multiversion;
use primal_device::grid::{self, BLOCK, VoteBits};

/// Rows that a task takes at least.
pub const MIN_ROWS: usize = 16;

/// How many weights flipped, and how many sit at a rail of the grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Codes that changed.
    pub flipped: u32,
    /// Codes at one of the grid's rails.
    pub at_rail: u32,
}

impl Counts {
    /// The sums of both counts.
    #[inline]
    pub fn plus(self, other: Self) -> Self {
        Self { flipped: self.flipped + other.flipped, at_rail: self.at_rail + other.at_rail }
    }

    /// Counts a weight of a grid with these rails by its code before and after.
    #[inline]
    pub fn count(&mut self, rails: [u8; 2], before: u8, after: u8) {
        self.flipped += u32::from(before != after);
        self.at_rail += u32::from(after == rails[0] || after == rails[1]);
    }

    /// As ops write them: `[flipped, at a rail]`.
    #[inline]
    pub fn words(self) -> [u32; 2] {
        [self.flipped, self.at_rail]
    }
}

/// The bytes of a block in a row, so many for each.
#[inline]
fn part<const BYTES: usize>(row: &[u8], block: usize) -> [u8; BYTES] {
    *row[block * BYTES..].first_chunk().expect("a block in the row")
}

#[inline]
fn part_mut<const BYTES: usize>(row: &mut [u8], block: usize) -> &mut [u8; BYTES] {
    row[block * BYTES..].first_chunk_mut().expect("a block in the row")
}

/// Codes of a block of a row.
#[inline]
pub fn load_codes(row: &[u8], block: usize) -> [u8; BLOCK] {
    grid::unpack_codes(part(row, block))
}

/// Writes the codes of a block of a row.
#[inline]
pub fn store_codes(row: &mut [u8], block: usize, codes: &[u8; BLOCK]) {
    *part_mut(row, block) = grid::pack_codes(*codes);
}

/// Votes of a block of a row.
#[inline]
pub fn load_votes(bits: VoteBits, row: &[u8], block: usize) -> [i8; BLOCK] {
    match bits {
        VoteBits::Eight => part(row, block).map(|byte: u8| byte as i8),
        VoteBits::Four => load_codes(row, block).map(|nibble| grid::vote_of_nibble(nibble) as i8),
    }
}

/// Writes the votes of a block of a row.
#[inline]
pub fn store_votes(bits: VoteBits, row: &mut [u8], block: usize, votes: &[i8; BLOCK]) {
    match bits {
        VoteBits::Eight => *part_mut(row, block) = votes.map(|vote| vote as u8),
        VoteBits::Four => store_codes(row, block, &votes.map(|vote| grid::nibble_of_vote(vote.into()))),
    }
}

/// `Σ of(g)` in sixteen running sums.
#[inline(always)]
pub fn lanes_sum(dw: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0f32; BLOCK];
    let whole = dw.chunks_exact(BLOCK);
    let rest = whole.remainder();
    for chunk in whole {
        for (sum, &g) in sums.iter_mut().zip(chunk) {
            *sum += of(g);
        }
    }
    for (sum, &g) in sums.iter_mut().zip(rest) {
        *sum += of(g);
    }
    sums.iter().sum()
}

/// `Σ g²` in sixteen running sums.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
pub fn row_squares(dw: &[f32]) -> f32 {
    lanes_sum(dw, |g| g * g)
}
