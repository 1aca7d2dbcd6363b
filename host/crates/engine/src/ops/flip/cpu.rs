//! Flips on the CPU.

use multiversion::multiversion;
use primal_device::grid::{self, BLOCK, VoteBits};
use primal_device::rules::votes::VoteTable;
use rayon::prelude::*;

use super::Flip;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::blocks::{Counts, MIN_ROWS, load_codes, load_votes, store_codes, store_votes};
use crate::backend::{GridWeight, RunOn};
use crate::ops::vote::VoteState;

impl RunOn<Cpu> for Flip {
    fn run_on(self, cpu: &mut Cpu) {
        let VoteState { votes, bits, .. } = self.state;
        let (inputs, weight) = (self.weight.in_features, *self.weight.grid());
        let (GridWeight { grid, codes, .. }, rails) = (weight, weight.rails());
        let ((codes, votes), ()) = cpu.split((codes, votes), ());
        let code_bytes = grid::row_bytes(inputs);
        let table = VoteTable::new(&self.rule, grid);
        let vote_bytes = VoteState::row_bytes(bits, inputs);
        let rows = codes.par_chunks_exact_mut(code_bytes).zip(votes.par_chunks_exact_mut(vote_bytes));
        let counts = rows
            .with_min_len(MIN_ROWS)
            .map(|(codes, votes)| match bits {
                VoteBits::Eight => flip_row_of_eight(codes, votes, inputs, rails, &table),
                VoteBits::Four => flip_row_of_four(codes, votes, inputs, rails, &table),
            })
            .reduce(Counts::default, Counts::plus);
        cpu.write(self.counts).copy_from_slice(&counts.words());
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn flip_row_of_eight(codes: &mut [u8], votes: &mut [u8], inputs: usize, rails: [u8; 2], table: &VoteTable) -> Counts {
    flip_row(VoteBits::Eight, codes, votes, inputs, rails, table)
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn flip_row_of_four(codes: &mut [u8], votes: &mut [u8], inputs: usize, rails: [u8; 2], table: &VoteTable) -> Counts {
    flip_row(VoteBits::Four, codes, votes, inputs, rails, table)
}

#[inline(always)]
fn flip_row(bits: VoteBits, codes: &mut [u8], votes: &mut [u8], inputs: usize, rails: [u8; 2], table: &VoteTable) -> Counts {
    let mut counts = Counts::default();
    for block in 0..inputs.div_ceil(BLOCK) {
        let count = BLOCK.min(inputs - block * BLOCK);
        let (mut code, mut vote) = (load_codes(codes, block), load_votes(bits, votes, block));
        let (mut flipped, mut at_rail) = (0, 0);
        // Most blocks keep all their codes and votes.
        if !vote.iter().fold(false, |any, &vote| any | table.moves(vote.into())) {
            for (j, code) in code.iter().enumerate() {
                at_rail += u8::from((j < count) & ((*code == rails[0]) | (*code == rails[1])));
            }
            counts.at_rail += u32::from(at_rail);
            continue;
        }
        for j in 0..BLOCK {
            let before = code[j];
            let (after, left) = table.flip(before, i32::from(vote[j]));
            // Padding stays as it is.
            let is_weight = j < count;
            (code[j], vote[j]) = if is_weight { (after, left as i8) } else { (before, vote[j]) };
            flipped += u8::from(is_weight & (before != after));
            at_rail += u8::from(is_weight & ((after == rails[0]) | (after == rails[1])));
        }
        counts = counts.plus(Counts { flipped: flipped.into(), at_rail: at_rail.into() });
        store_codes(codes, block, &code);
        store_votes(bits, votes, block, &vote);
    }
    counts
}
