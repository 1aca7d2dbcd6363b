//! PRIMAL's first rule on the CPU.

use multiversion::multiversion;
use primal_device::grid::{self, BLOCK, VoteBits};
use primal_device::philox::uniform;
use primal_device::rules::poltergeist;
use rayon::prelude::*;

use super::{PoltergeistFlip, PoltergeistVote};
use crate::backend::cpu::Cpu;
use crate::backend::cpu::blocks::{Counts, MIN_ROWS, lanes_sum, load_codes, load_votes, row_squares, store_codes};
use crate::backend::cpu::scaling::Scaling;
use crate::backend::{GridWeight, RunOn};

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn row_magnitudes(dw: &[f32]) -> f32 {
    lanes_sum(dw, f32::abs)
}

impl RunOn<Cpu> for PoltergeistVote {
    fn run_on(self, cpu: &mut Cpu) {
        let z = self.z;
        let ([outputs, inputs], w) = ([self.weight.out_features, self.weight.in_features], self.weight.grid());
        let ((votes, scratch), (dw, scales)) = cpu.split((self.votes, cpu.scratch()), (self.dw, w.scales));
        let scaling = Scaling::new(scales, w.grid, inputs);
        let sums = &mut scratch[..2 * outputs];
        sums.par_chunks_exact_mut(2).zip(dw.par_chunks_exact(inputs)).with_min_len(MIN_ROWS).for_each(|(sums, dw)| {
            sums[0] = row_magnitudes(dw);
            sums[1] = row_squares(dw);
        });
        let (sum, squares) = sums.chunks_exact(2).fold((0.0f64, 0.0f64), |(a, b), s| (a + f64::from(s[0]), b + f64::from(s[1])));
        let count = dw.len() as f64;
        let mean = sum / count;
        let cutoff = (mean + f64::from(z) * (squares / count - mean * mean).max(0.0).sqrt()) as f32;
        let row_bytes = votes.len() / outputs;
        votes.par_chunks_exact_mut(row_bytes).zip(dw.par_chunks_exact(inputs)).enumerate().with_min_len(MIN_ROWS).for_each(
            |(i, (votes, dw))| {
                for (block, (votes, dw)) in votes.chunks_mut(BLOCK).zip(dw.chunks(BLOCK)).enumerate() {
                    let (scale, _) = scaling.scale(i, block * BLOCK);
                    for (cell, &g) in votes.iter_mut().zip(dw) {
                        let sum = i32::from(*cell as i8) + poltergeist::vote(g, scale, cutoff);
                        *cell = sum.clamp(-127, 127) as i8 as u8;
                    }
                }
            },
        );
    }
}

impl RunOn<Cpu> for PoltergeistFlip {
    fn run_on(self, cpu: &mut Cpu) {
        let (inputs, rails) = (self.weight.in_features, self.weight.grid().rails());
        let GridWeight { grid, codes, scales } = *self.weight.grid();
        let ((codes, votes), (scales,)) = cpu.split((codes, self.votes), (scales,));
        let scaling = Scaling::new(scales, grid, inputs);
        let (consensus, key) = (self.consensus, self.key);
        let code_bytes = grid::row_bytes(inputs);
        let (stream, blocks) = (key.stream(), code_bytes * 2 / BLOCK);
        let rows = codes.par_chunks_exact_mut(code_bytes).zip(votes.par_chunks_exact_mut(grid::padded(inputs)));
        let counts = rows
            .enumerate()
            .with_min_len(MIN_ROWS)
            .map(|(i, (codes, votes))| {
                let mut counts = Counts::default();
                for block in 0..inputs.div_ceil(BLOCK) {
                    let (mut code, vote) = (load_codes(codes, block), load_votes(VoteBits::Eight, votes, block));
                    let probability = poltergeist::probability(scaling.scale(i, block * BLOCK).0);
                    // The probability may be below 1/256, so each weight takes a whole word here.
                    for j in 0..BLOCK.min(inputs - block * BLOCK) {
                        let before = code[j];
                        if vote[j] != 0 {
                            let words = stream.words(((i * blocks + block) * 4 + j / 4) as u32);
                            code[j] =
                                poltergeist::flip(grid, before, i32::from(vote[j]), consensus as i32, probability, uniform(words[j % 4]));
                        }
                        counts.count(rails, before, code[j]);
                    }
                    store_codes(codes, block, &code);
                }
                votes.fill(0);
                counts
            })
            .reduce(Counts::default, Counts::plus);
        cpu.write(self.counts).copy_from_slice(&counts.words());
    }
}
