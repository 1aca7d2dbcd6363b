//! Votes and flips of the poltergeist rule over a whole tensor, by [`crate::rules::poltergeist`].
//!
//! Votes, in order: `poltergeist_rows`, `poltergeist_cutoff`, `poltergeist_vote`.

use super::sizes::LANES;
use crate::grid::Grid;
use crate::launch::{kernels, on_gpu};

/// Threads of a block.
const THREADS: u32 = 128;
/// Rows whose sums are loaded together.
const TILE: u32 = 256;

#[repr(C)]
struct Tile([[f32; 2]; TILE as usize]);

on_gpu! {
    use super::common::blocks::Counts;
    use super::common::scaling::AnyScales;
    use super::common::sums::lanes_sum;
    use crate::rules::poltergeist;
    use crate::gpu::GpuDouble;
    use crate::gpu::shared::dynamic_shared_mem;
    use crate::gpu::thread::{block_idx_x, sync_threads, thread_idx_x};
    use crate::grid::{padded, row_bytes};
    use crate::philox::{RandomStream, uniform};

    /// Weights that share a Philox call here: each takes a word.
    const FOUR: u32 = 4;
}

kernels! {
    /// `sums[i] = [Σ_j |dw|, Σ_j dw²]`; sums `[outputs, 2]`, dw `[outputs, inputs]`. Half a warp takes a row, lane l the columns l, l + 16, ….
    /// Items: rows.
    fn poltergeist_rows(sums: *mut f32, dw: *const f32, outputs: u32, inputs: u32) for [THREADS, 0, [THREADS / LANES, 1]] {
        let i = block_idx_x() * (THREADS / LANES) + thread_idx_x() / LANES;
        let (dw, n) = (dw.wrapping_add(i as usize * inputs as usize), if i < outputs { inputs } else { 0 });
        let (sum, squares) = (lanes_sum(n, |j| (*dw.add(j)).abs()), lanes_sum(n, |j| *dw.add(j) * *dw.add(j)));
        if i < outputs && thread_idx_x().is_multiple_of(LANES) {
            let sums = sums.add(2 * i as usize);
            *sums = sum;
            *sums.add(1) = squares;
        }
    }

    /// `cutoff[0] = mean + z·std` of |dw| over the tensor, in `f64`, rows in order; sums `[outputs, 2]`. One block: all load, the first thread
    /// adds up. Shared: 2,048 bytes.
    fn poltergeist_cutoff(cutoff: *mut f32, sums: *const f32, outputs: u32, inputs: u32, z: f32) for [TILE, size_of::<Tile>(), [u32::MAX, 1]] {
        let tile = dynamic_shared_mem::<Tile>();
        let (mut sum, mut squares) = (0.0, 0.0);
        let mut first = 0;
        while first < outputs {
            let i = first + thread_idx_x();
            if i < outputs {
                let sums = sums.add(2 * i as usize);
                (*tile).0[(thread_idx_x() % TILE) as usize] = [*sums, *sums.add(1)];
            }
            sync_threads();
            if thread_idx_x() == 0 {
                for i in 0..(outputs - first).min(TILE) {
                    let row = (*tile).0[i as usize];
                    sum += f64::from(row[0]);
                    squares += f64::from(row[1]);
                }
            }
            sync_threads();
            first += TILE;
        }
        if thread_idx_x() == 0 {
            let count = f64::from(outputs) * f64::from(inputs);
            let mean = sum / count;
            *cutoff = (mean + f64::from(z) * (squares / count - mean * mean).max(0.0).sqrt()) as f32;
        }
    }

    /// Adds ±1 where |dw| is beyond `cutoff[0]`; votes `[outputs, padded inputs]` of 8 bits, dw `[outputs, inputs]`, scale `[outputs]` or null,
    /// and then step `[outputs, ⌈inputs / 32⌉]`, halves. A thread takes a weight. Items: weights, `outputs · inputs`.
    fn poltergeist_vote(
        votes: *mut u8, dw: *const f32, scale: *const f32, step: *const u16, grid: *const Grid, cutoff: *const f32, outputs: u32, inputs: u32,
    ) for [THREADS, 0, [THREADS, 1]] {
        let index = block_idx_x() as usize * THREADS as usize + thread_idx_x() as usize;
        let (row, column) = (index / inputs as usize, index % inputs as usize);
        if row < outputs as usize {
            let [scale, _] = AnyScales::new(scale, step, core::ptr::null(), &*grid, inputs).at(row, column);
            let cell = votes.add(row * padded(inputs as usize) + column);
            let sum = i32::from(*cell as i8) + poltergeist::vote(*dw.add(index), scale, *cutoff);
            *cell = sum.clamp(-127, 127) as u8;
        }
    }

    /// Flips where |vote| ≥ consensus, with the scale's probability; clears the votes and adds to `counts`, `[flipped, at a rail]`, which must
    /// be zero before; codes `[outputs, row_bytes]`, votes `[outputs, padded inputs]` of 8 bits, scale `[outputs]` or null, and then step of
    /// groups, `[outputs, ⌈inputs / 32⌉]`, halves. A thread takes four weights of a row; `rails` has in its low bytes the codes that count as such.
    /// Items: fours of weights, `outputs · ⌈inputs / 4⌉`.
    fn poltergeist_flip(
        codes: *mut u8, votes: *mut u8, scale: *const f32, group_step: *const u16, counts: *mut u32, grid: *const Grid, rails: u32, outputs: u32,
        inputs: u32, consensus: i32, seed: u64, tensor: u32, step: u64,
    ) for [THREADS, 0, [THREADS, 1]] {
        let (index, fours) = (block_idx_x() * THREADS + thread_idx_x(), inputs.div_ceil(FOUR));
        let (row, four, grid) = ((index / fours) as usize, (index % fours) as usize, &*grid);
        let (mut sums, scales) = (Counts::new(rails), AnyScales::new(scale, group_step, core::ptr::null(), grid, inputs));
        if row < outputs as usize {
            let inputs = inputs as usize;
            let codes = codes.add(row * row_bytes(inputs) + 2 * four).cast::<u16>();
            let votes = votes.add(row * padded(inputs) + 4 * four).cast::<u32>();
            let (old, vote) = (*codes, *votes);
            let mut new = old;
            let probability = poltergeist::probability(scales.at(row, 4 * four)[0]);
            let words = RandomStream::new(seed, tensor, step).words((row * (padded(inputs) / 4) + four) as u32);
            for i in 0..FOUR as usize {
                let (before, vote) = ((old >> (4 * i)) as u8 & 15, i32::from((vote >> (8 * i)) as i8));
                let mut after = before;
                if vote != 0 {
                    after = poltergeist::flip(grid, before, vote, consensus, probability, uniform(words[i]));
                }
                new = new & !(15 << (4 * i)) | u16::from(after) << (4 * i);
                if 4 * four + i < inputs {
                    sums.count(before, after);
                }
            }
            *codes = new;
            *votes = 0;
        }
        sums.add_to(counts);
    }
}
