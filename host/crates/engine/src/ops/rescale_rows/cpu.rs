//! Wider row scales on the CPU.

use primal_device::grid::{self, BLOCK};
use primal_device::rules::votes::rescale;
use rayon::prelude::*;

use super::RescaleRows;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::blocks::{MIN_ROWS, load_codes, load_votes, store_codes, store_votes};
use crate::backend::{GridWeight, RunOn};
use crate::ops::vote::VoteState;

impl RunOn<Cpu> for RescaleRows {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { rule, share, factor, .. } = self;
        let VoteState { votes, bits, .. } = self.state;
        let (inputs, GridWeight { grid, codes, scales }) = (self.weight.in_features, *self.weight.grid());
        let scale = scales.of_rows().expect("scales of rows");
        let (grid, ((codes, scale, votes), ())) = (grid, cpu.split((codes, scale, votes), ()));
        let code_bytes = grid::row_bytes(inputs);
        let vote_bytes = VoteState::row_bytes(bits, inputs);
        let rows = codes.par_chunks_exact_mut(code_bytes).zip(votes.par_chunks_exact_mut(vote_bytes)).zip(scale.par_iter_mut());
        rows.with_min_len(MIN_ROWS).for_each(|((codes, votes), scale)| {
            let mut counts = [0u32; 16];
            grid::histogram(codes, inputs, &mut counts);
            let [low, high] = grid.rails();
            let at_rail = counts[low as usize] + if high == low { 0 } else { counts[high as usize] };
            if at_rail as f32 <= share * inputs as f32 {
                return;
            }
            *scale *= factor;
            for block in 0..inputs.div_ceil(BLOCK) {
                let (mut code, mut vote) = (load_codes(codes, block), load_votes(bits, votes, block));
                for j in 0..BLOCK.min(inputs - block * BLOCK) {
                    let (after, left) = rescale(&rule, grid, code[j], i32::from(vote[j]), factor);
                    (code[j], vote[j]) = (after, left as i8);
                }
                store_codes(codes, block, &code);
                store_votes(bits, votes, block, &vote);
            }
        });
    }
}
