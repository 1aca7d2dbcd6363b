//! Votes over a whole tensor: R and C as the CPU adds them up, then the plain functions of [`crate::rules::votes`].
//!
//! In order: `vote_rows`, `vote_mean`; `vote_columns`, `vote_factors`; `vote`. Of a tile of a matrix's rows: `vote_rows`; `vote_columns`,
//! `vote_tile_columns`, `vote_mean` of these, `vote_tile_factors`; `vote`. Given the same gradient, all bits are those of the CPU.

use super::sizes::LANES;
use super::sizes::blocks::{COVERS, THREADS};
use crate::grid::Grid;
use crate::launch::{kernels, on_gpu};
use crate::rules::votes::VoteTable;

/// Mean squares below it are those of a gradient that is zero.
pub const TINY: f32 = 1e-30;
/// Rows whose squares are added up to one partial sum of a column.
pub const GROUP: u32 = 512;
/// Where `factor` begins in scratch behind `mean`: it is loaded as vectors of 16 bytes.
pub const FACTORS_AT: usize = 4;
/// Rows of R that are loaded together.
const TILE: u32 = 256;

#[repr(C)]
struct Tile([f32; TILE as usize]);

on_gpu! {
    use super::common::blocks::{Place, load_votes, store_votes};
    use super::common::scaling::AnyScales;
    use super::common::sums::{AHEAD, lanes_sum};
    use crate::gpu::GpuFloat;
    use crate::gpu::shared::dynamic_shared_mem;
    use crate::gpu::thread::{block_idx_x, block_idx_y, sync_threads, thread_idx_x};
    use crate::grid::{BLOCK, row_bytes, unpack_codes_of_word};
    use crate::philox::{RandomStream, uniform_byte};
    use crate::rules::votes::{VoteRule, wanted_move};

    /// `β₂·old + (1 − β₂)·mean square`.
    #[inline(always)]
    fn running(beta2: f32, old: f32, mean_square: f32) -> f32 {
        beta2 * old + (1.0 - beta2) * mean_square
    }

    /// What a column is multiplied by.
    #[inline(always)]
    fn factor_of(c: f32, mean: f32, bias_correction: f32, natural: u32) -> f32 {
        let root = (c / bias_correction).max(TINY).sqrt();
        1.0 / if natural == 1 { root * (c / mean).max(TINY).sqrt() } else { root }
    }

    /// The sum of a column's partial sums.
    #[inline(always)]
    unsafe fn sum_of_groups(partial: *const f32, rows: u32, inputs: usize, j: usize) -> f32 {
        let mut sum = 0.0;
        for group in 0..rows.div_ceil(GROUP) as usize {
            sum += *partial.add(group * inputs + j);
        }
        sum
    }
}

kernels! {
    /// Updates R: `row[i] = β₂·row[i] + (1 − β₂)·Σ_j dw² / inputs`; row `[outputs]`, dw `[outputs, inputs]`. Half a warp takes a row, lane l
    /// the columns l, l + 16, …. Items: rows.
    fn vote_rows(row: *mut f32, dw: *const f32, outputs: u32, inputs: u32, beta2: f32) for [THREADS, 0, [THREADS / LANES, 1]] {
        let i = block_idx_x() * (THREADS / LANES) + thread_idx_x() / LANES;
        // A row beyond the end is empty: the halves of a warp stay together.
        let dw = dw.wrapping_add(i as usize * inputs as usize);
        let sum = lanes_sum(if i < outputs { inputs } else { 0 }, |j| *dw.add(j) * *dw.add(j));
        if i < outputs && thread_idx_x().is_multiple_of(LANES) {
            let row = row.add(i as usize);
            *row = running(beta2, *row, sum / inputs as f32);
        }
    }

    /// `mean[0] = max(Σ row / outputs, 1e-30)`, rows in order; row `[outputs]`. One block: all load, the first thread adds up. Shared: 1,024
    /// bytes.
    fn vote_mean(mean: *mut f32, row: *const f32, outputs: u32) for [TILE, size_of::<Tile>(), [u32::MAX, 1]] {
        let tile = dynamic_shared_mem::<Tile>();
        let mut sum = 0.0;
        let mut first = 0;
        while first < outputs {
            if first + thread_idx_x() < outputs {
                (*tile).0[(thread_idx_x() % TILE) as usize] = *row.add((first + thread_idx_x()) as usize);
            }
            sync_threads();
            if thread_idx_x() == 0 {
                for i in 0..(outputs - first).min(TILE) {
                    sum += (*tile).0[i as usize];
                }
            }
            sync_threads();
            first += TILE;
        }
        if thread_idx_x() == 0 {
            *mean = (sum / outputs as f32).max(TINY);
        }
    }

    /// Partial sums for C: `partial[g][j] = Σ dw²` over 512 rows; partial `[⌈outputs / 512⌉, inputs]`, dw `[outputs, inputs]`. A thread takes
    /// a column of 512 rows. Items: columns, rows.
    fn vote_columns(partial: *mut f32, dw: *const f32, outputs: u32, inputs: u32) for [THREADS, 0, [THREADS, GROUP]] {
        let (column, group, inputs) = ((block_idx_x() * THREADS + thread_idx_x()) as usize, block_idx_y(), inputs as usize);
        if column >= inputs {
            return;
        }
        let (first, end) = ((group * GROUP) as usize, outputs.min((group + 1) * GROUP) as usize);
        let mut sum = 0.0;
        for first in (first..end).step_by(AHEAD) {
            let row = |ahead: usize| first + ahead;
            let values: [f32; AHEAD] = core::array::from_fn(|ahead| if row(ahead) < end { *dw.add(row(ahead) * inputs + column) } else { 0.0 });
            for ahead in 0..AHEAD {
                sum = if row(ahead) < end { sum + values[ahead] * values[ahead] } else { sum };
            }
        }
        *partial.add(group as usize * inputs + column) = sum;
    }

    /// Updates C from its partial sums and turns it to factors: `column[j] = β₂·column[j] + (1 − β₂)·Σ_g partial[g][j] / outputs`,
    /// `factor[j] = 1 / √max(column[j] / bias_correction, 1e-30)`, and where `natural` is 1 over `√max(column[j] / mean[0], 1e-30)` besides; column, factor
    /// `[inputs]`, partial `[⌈outputs / 512⌉, inputs]`, mean `[1]`. A thread takes a column. Items: columns.
    fn vote_factors(
        factor: *mut f32, column: *mut f32, partial: *const f32, mean: *const f32, outputs: u32, inputs: u32, beta2: f32,
        bias_correction: f32, natural: u32,
    ) for [THREADS, 0, [THREADS, 1]] {
        let (j, inputs) = ((block_idx_x() * THREADS + thread_idx_x()) as usize, inputs as usize);
        if j >= inputs {
            return;
        }
        let c = running(beta2, *column.add(j), sum_of_groups(partial, outputs, inputs, j) / outputs as f32);
        *column.add(j) = c;
        *factor.add(j) = factor_of(c, *mean, bias_correction, natural);
    }

    /// Of a tile of `rows` rows from `first` on, of a matrix of `outputs`: `sums[j] += Σ_g partial[g][j]`, or `=` by the first tile; C by which the tile votes,
    /// `factor[j] = β₂·column[j] + (1 − β₂)·Σ_g partial[g][j] / rows`; then by the last tile `column[j] = β₂·column[j] + (1 − β₂)·sums[j] / outputs`;
    /// factor, column, sums `[inputs]`, partial `[⌈rows / 512⌉, inputs]`. A thread takes a column. Items: columns.
    fn vote_tile_columns(
        factor: *mut f32, column: *mut f32, sums: *mut f32, partial: *const f32, rows: u32, first: u32, outputs: u32, inputs: u32, beta2: f32,
    ) for [THREADS, 0, [THREADS, 1]] {
        let (j, inputs) = ((block_idx_x() * THREADS + thread_idx_x()) as usize, inputs as usize);
        if j >= inputs {
            return;
        }
        let (of_tile, column, sums) = (sum_of_groups(partial, rows, inputs, j), column.add(j), sums.add(j));
        *sums = if first == 0 { of_tile } else { *sums + of_tile };
        *factor.add(j) = running(beta2, *column, of_tile / rows as f32);
        if first + rows == outputs {
            *column = running(beta2, *column, *sums / outputs as f32);
        }
    }

    /// Turns C of a tile to factors, as `vote_factors` does; factor `[inputs]`, mean `[1]`. A thread takes a column. Items: columns.
    fn vote_tile_factors(
        factor: *mut f32, mean: *const f32, inputs: u32, bias_correction: f32, natural: u32,
    ) for [THREADS, 0, [THREADS, 1]] {
        let j = block_idx_x() * THREADS + thread_idx_x();
        if j < inputs {
            let factor = factor.add(j as usize);
            *factor = factor_of(*factor, *mean, bias_correction, natural);
        }
    }

    /// Adds each weight's vote; votes `[outputs, padded inputs]` of `bits` = 8 or 4 bits, row `[outputs]`, mean `[1]`, factor `[inputs]`, dw
    /// `[outputs, inputs]`, codes `[outputs, row_bytes]`, scale `[outputs]` or null, and then step of groups, `[outputs, ⌈inputs / 32⌉]`, halves;
    /// `first_row` is that of votes, of a tile in its matrix; `max` and `quantum` are the rule's; `natural` is as in `vote_factors`. A thread takes sixteen weights of a row. Items: blocks of sixteen weights, `outputs · ⌈inputs / 16⌉`. Shared: the table of votes per level, 148 bytes.
    fn vote(
        votes: *mut u8, bits: u32, row: *const f32, mean: *const f32, factor: *const f32, dw: *const f32, codes: *const u8,
        scale: *const f32, group_step: *const u16, grid: *const Grid, outputs: u32, inputs: u32, first_row: u32, lr: f32, natural: u32,
        max: i32, quantum: f32, seed: u64, tensor: u32, step: u64,
    ) for [THREADS, size_of::<VoteTable>(), COVERS] {
        let table = dynamic_shared_mem::<VoteTable>();
        let rule = VoteRule { max, quantum, threshold: 0, consumed: 0.0 };
        VoteTable::fill(table, &rule, &*grid, thread_idx_x() as usize);
        sync_threads();
        let Some(place) = Place::of_thread(outputs, inputs) else { return };
        let (i, table) = (place.row, &*table);
        let ratio = (*row.add(i) / *mean).max(TINY);
        let row_factor = 1.0 / if natural == 1 { ratio } else { ratio.sqrt() };
        let first_block = (first_row as usize + i) * (row_bytes(inputs as usize) * 2 / BLOCK);
        let random = RandomStream::new(seed, tensor, step).words((first_block + place.block) as u32);
        let gradients = place.floats(dw.add(i * inputs as usize));
        let factors = place.floats(factor);
        let codes = unpack_codes_of_word(*place.codes(codes.cast_mut(), inputs));
        let votes = place.votes(bits, votes, inputs);
        let old = load_votes(bits, votes);
        let [scale, _] = AnyScales::new(scale, group_step, core::ptr::null(), &*grid, inputs).at(i, place.block * BLOCK);
        let new = core::array::from_fn(|j| {
            let wanted = wanted_move(gradients[j] * row_factor * factors[j], scale, lr);
            let new = table.cast(codes[j], old[j], wanted, uniform_byte((random[j / 4] >> (j % 4 * 8)) as u8));
            if j < place.count { new } else { old[j] }
        });
        store_votes(bits, votes, new);
    }
}
