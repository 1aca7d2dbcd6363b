//! Wider scales for rows with many weights at a rail, by [`crate::rules::votes::rescale`].

use super::sizes::WARP;
use crate::grid::Grid;
use crate::launch::{kernels, on_gpu};

/// Threads of a block: one row.
const THREADS: usize = 128;
const WARPS: usize = THREADS / WARP as usize;

#[repr(C)]
struct Shared([f32; WARPS]);

on_gpu! {
    use super::common::sums::block_reduce;
    use crate::gpu::shared::dynamic_shared_mem;
    use crate::gpu::thread::{block_idx_x, thread_idx_x};
    use crate::grid::{nibble_of_vote, padded, row_bytes, vote_of_nibble};
    use crate::rules::votes::{VoteRule, rescale};

    /// The vote of one weight, of `bits` bits.
    #[inline(always)]
    unsafe fn vote(bits: u32, row: *const u8, index: usize) -> i32 {
        if bits == 8 { i32::from(*row.add(index) as i8) } else { vote_of_nibble(*row.add(index / 2) >> (index % 2 * 4) & 15) }
    }
}

kernels! {
    /// Rows with more than `share` of their weights at a rail: scale times `factor`, codes re-encoded, remainders into the votes; codes
    /// `[outputs, row_bytes]`, scale `[outputs]`, votes `[outputs, padded inputs]` of `bits` = 8 or 4 bits; `max` and `quantum` are the rule's.
    /// A block takes a row, a thread two weights at a time. Items: rows. Shared: 16 bytes.
    fn rescale_rows(
        codes: *mut u8, scale: *mut f32, votes: *mut u8, bits: u32, grid: *const Grid, inputs: u32, max: i32, quantum: f32, share: f32, factor: f32,
    ) for [THREADS, size_of::<Shared>(), [1, 1]] {
        let scratch = &raw mut (*dynamic_shared_mem::<Shared>()).0;
        let (row, inputs, grid) = (block_idx_x() as usize, inputs as usize, &*grid);
        let codes = codes.add(row * row_bytes(inputs));
        let votes = votes.add(row * padded(inputs) * bits as usize / 8);
        let rails = grid.rails();
        let is_rail = |code: u8| code == rails[0] || code == rails[1];
        // Counts below 2²⁴ are exact as floats.
        let mut at_rail = 0;
        let mut byte = thread_idx_x() as usize;
        while byte < inputs.div_ceil(2) {
            let pair = *codes.add(byte);
            at_rail += u32::from(is_rail(pair & 15)) + u32::from(2 * byte + 1 < inputs && is_rail(pair >> 4));
            byte += THREADS;
        }
        if block_reduce(at_rail as f32, scratch, |a, b| a + b) <= share * inputs as f32 {
            return;
        }
        let rule = VoteRule { max, quantum, threshold: 0, consumed: 0.0 };
        let mut byte = thread_idx_x() as usize;
        while byte < inputs.div_ceil(2) {
            let pair = *codes.add(byte);
            let (low, low_vote) = rescale(&rule, grid, pair & 15, vote(bits, votes, 2 * byte), factor);
            let (mut high, mut high_vote) = (pair >> 4, vote(bits, votes, 2 * byte + 1));
            if 2 * byte + 1 < inputs {
                (high, high_vote) = rescale(&rule, grid, high, high_vote, factor);
            }
            *codes.add(byte) = low | high << 4;
            if bits == 8 {
                *votes.add(2 * byte) = low_vote as u8;
                *votes.add(2 * byte + 1) = high_vote as u8;
            } else {
                *votes.add(byte) = nibble_of_vote(low_vote) | nibble_of_vote(high_vote) << 4;
            }
            byte += THREADS;
        }
        if thread_idx_x() == 0 {
            *scale.add(row) *= factor;
        }
    }
}
