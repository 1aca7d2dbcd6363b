//! Votes on CUDA.

use primal_device::grid::VoteBits;
use primal_device::kernels::vote as kernels;
use primal_device::rules::votes::VoteRule;

use super::{RandomKey, Tile, Vote, VoteCast, VoteState};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{blocks, size, sizes};
use crate::memory::Span;

impl VoteState {
    /// Bits of a vote, as kernels take them.
    pub(in crate::ops) fn width(&self) -> u32 {
        match self.bits {
            VoteBits::Four => 4,
            VoteBits::Eight => 8,
        }
    }
}

/// Where in scratch the mean, the factors of columns and their partial sums are.
fn places(cuda: &mut Cuda, rows: usize, columns: usize) -> [*mut f32; 3] {
    let mean = cuda.scratch(kernels::FACTORS_AT + columns + rows.div_ceil(kernels::GROUP as usize) * columns);
    let factor = mean.wrapping_add(kernels::FACTORS_AT);
    [mean, factor, factor.wrapping_add(columns)]
}

/// Updates R and C by a gradient; where in scratch the mean of R is, and what columns are multiplied by. `decay` is β₂ and what corrects for its start.
pub(in crate::ops) fn divisors(
    cuda: &mut Cuda,
    row: Span<f32>,
    column: Span<f32>,
    dw: Span<f32>,
    [beta2, bias_correction]: [f32; 2],
    is_natural: bool,
) -> [*mut f32; 2] {
    let (rows, columns) = (row.len(), column.len());
    let [outputs, inputs] = [rows, columns].map(size);
    let [mean, factor, partial] = places(cuda, rows, columns);
    let (row, column, dw) = (cuda.write(row), cuda.write(column), cuda.read(dw));
    cuda.launch([rows, 1], kernels::vote_rows(row, dw, outputs, inputs, beta2));
    cuda.launch([1, 1], kernels::vote_mean(mean, row, outputs));
    cuda.launch([columns, rows], kernels::vote_columns(partial, dw, outputs, inputs));
    let natural = u32::from(is_natural);
    cuda.launch([columns, 1], kernels::vote_factors(factor, column, partial, mean, outputs, inputs, beta2, bias_correction, natural));
    [mean, factor]
}

/// The same of a tile.
fn tile_divisors(cuda: &mut Cuda, state: &VoteState, dw: Span<f32>, tile: &Tile, cast: &VoteCast) -> [*mut f32; 2] {
    let (rows, columns) = (state.row.len(), state.column.len());
    let [of_tile, first, outputs, inputs] = [rows, tile.first, tile.outputs, columns].map(size);
    let [mean, factor, partial] = places(cuda, rows, columns);
    let (row, column, dw, sums) = (cuda.write(state.row), cuda.write(state.column), cuda.read(dw), cuda.write(tile.sums));
    cuda.launch([rows, 1], kernels::vote_rows(row, dw, of_tile, inputs, cast.beta2));
    cuda.launch([columns, rows], kernels::vote_columns(partial, dw, of_tile, inputs));
    cuda.launch([columns, 1], kernels::vote_tile_columns(factor, column, sums, partial, of_tile, first, outputs, inputs, cast.beta2));
    cuda.launch([1, 1], kernels::vote_mean(mean, factor, inputs));
    cuda.launch([columns, 1], kernels::vote_tile_factors(factor, mean, inputs, cast.bias_correction, u32::from(cast.is_natural)));
    [mean, factor]
}

impl RunOn<Cuda> for Vote {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { weight, state, cast, .. } = self;
        let (w, [outputs, inputs]) = (weight.grid(), sizes(&weight));
        let decay = [cast.beta2, cast.bias_correction];
        let [mean, factor] = match &self.tile {
            None => divisors(cuda, state.row, state.column, self.dw, decay, cast.is_natural),
            Some(tile) => tile_divisors(cuda, &state, self.dw, tile, &cast),
        };
        let first_row = size(self.tile.map_or(0, |tile| tile.first));
        let (row, dw, natural) = (cuda.read(state.row), cuda.read(self.dw), u32::from(cast.is_natural));
        let (RandomKey { seed, tensor, step }, VoteRule { max, quantum, .. }) = (cast.key, cast.rule);
        let (votes, bits, codes) = (cuda.write(state.votes), state.width(), cuda.read(w.codes));
        let (scale, group_step, _) = cuda.scales(w).of_any_form();
        let (items, grid) = (blocks(&weight, 16), cuda.grid(w.grid));
        let call = kernels::vote(
            votes, bits, row, mean, factor, dw, codes, scale, group_step, grid, outputs, inputs, first_row, cast.lr, natural, max, quantum,
            seed, tensor, step,
        );
        cuda.launch(items, call);
    }
}
