//! Sixteen weights at a time: those that share a Philox call.

use super::sums::warp_sum_u32;
use crate::gpu::atomic::atomic_fetch_add_relaxed_u32_device;
use crate::gpu::memory::{U32x4, aligned, load};
use crate::gpu::thread::{block_idx_x, thread_idx_x};
use crate::grid::{BLOCK, ROW_ALIGN, nibble_of_vote, pack_codes_to_word, row_bytes, unpack_codes_of_word, vote_of_nibble};
use crate::kernels::sizes::WARP;
use crate::kernels::sizes::blocks::THREADS;

/// Which weights a thread has.
#[derive(Clone, Copy)]
pub struct Place {
    /// Row of the weights.
    pub row: usize,
    /// Number of the block in its row.
    pub block: usize,
    /// How many of the block's weights are in the row; the others are padding.
    pub count: usize,
}

impl Place {
    /// This thread's block of an `[outputs, inputs]` weight, counted along the rows; none beyond the end.
    #[inline(always)]
    pub fn of_thread(outputs: u32, inputs: u32) -> Option<Self> {
        let (index, blocks) = (block_idx_x() * THREADS + thread_idx_x(), inputs.div_ceil(BLOCK as u32));
        let (row, block) = ((index / blocks) as usize, (index % blocks) as usize);
        (row < outputs as usize).then(|| Self { row, block, count: (inputs as usize - block * BLOCK).min(BLOCK) })
    }

    /// This block's 8 bytes of codes.
    #[inline(always)]
    pub unsafe fn codes(&self, codes: *mut u8, inputs: u32) -> *mut u64 {
        codes.add(self.row * row_bytes(inputs as usize) + self.block * BLOCK / 2).cast()
    }

    /// This block's votes.
    #[inline(always)]
    pub unsafe fn votes(&self, bits: u32, votes: *mut u8, inputs: u32) -> *mut u8 {
        let row = (inputs as usize).next_multiple_of(ROW_ALIGN) * bits as usize / 8;
        votes.add(self.row * row + self.block * BLOCK * bits as usize / 8)
    }

    /// This block of a row of floats that has no padding; zeros beyond its end.
    #[inline(always)]
    pub unsafe fn floats(&self, row: *const f32) -> [f32; BLOCK] {
        let at = row.add(self.block * BLOCK);
        if self.count == BLOCK && aligned(at) { load(at) } else { core::array::from_fn(|i| if i < self.count { *at.add(i) } else { 0.0 }) }
    }
}

/// Votes of `bits` = 8 or 4 bits.
#[inline(always)]
pub unsafe fn load_votes(bits: u32, from: *const u8) -> [i32; BLOCK] {
    if bits == 8 {
        let words = from.cast::<U32x4>().read().0;
        core::array::from_fn(|i| i32::from((words[i / 4] >> (i % 4 * 8)) as i8))
    } else {
        unpack_codes_of_word(from.cast::<u64>().read()).map(vote_of_nibble)
    }
}

/// Stores votes of `bits` = 8 or 4 bits.
#[inline(always)]
pub unsafe fn store_votes(bits: u32, to: *mut u8, votes: [i32; BLOCK]) {
    if bits == 8 {
        let mut words = [0; 4];
        for i in 0..BLOCK {
            words[i / 4] |= u32::from(votes[i] as u8) << (i % 4 * 8);
        }
        to.cast::<U32x4>().write(U32x4(words));
    } else {
        to.cast::<u64>().write(pack_codes_to_word(votes.map(nibble_of_vote)));
    }
}

/// Codes that changed, and codes at a rail, of one thread.
#[derive(Clone, Copy)]
pub struct Counts {
    rails: [u8; 2],
    flipped: u32,
    at_rail: u32,
}

impl Counts {
    /// None yet. `rails` has those of the weight in its low bytes.
    #[inline(always)]
    pub fn new(rails: u32) -> Self {
        Self { rails: [rails as u8, (rails >> 8) as u8], flipped: 0, at_rail: 0 }
    }

    /// Counts one weight.
    #[inline(always)]
    pub fn count(&mut self, before: u8, after: u8) {
        self.flipped += u32::from(before != after);
        self.at_rail += u32::from((after == self.rails[0]) | (after == self.rails[1]));
    }

    /// Adds those of all lanes to `counts`, `[flipped, at a rail]`. All lanes of a warp must get here.
    #[inline(always)]
    pub unsafe fn add_to(self, counts: *mut u32) {
        let (flipped, at_rail) = (warp_sum_u32(self.flipped), warp_sum_u32(self.at_rail));
        if thread_idx_x().is_multiple_of(WARP) {
            atomic_fetch_add_relaxed_u32_device(counts, flipped);
            atomic_fetch_add_relaxed_u32_device(counts.add(1), at_rail);
        }
    }
}
