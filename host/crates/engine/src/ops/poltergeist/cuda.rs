//! PRIMAL's first rule on CUDA.

use primal_device::kernels::poltergeist as kernels;

use super::{PoltergeistFlip, PoltergeistVote};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{blocks, rails, sizes};
use crate::ops::vote::RandomKey;

impl RunOn<Cuda> for PoltergeistVote {
    fn run_on(self, cuda: &mut Cuda) {
        let (w, [outputs, inputs]) = (self.weight.grid(), sizes(&self.weight));
        let (rows, cutoff) = (self.weight.out_features, cuda.scratch(1 + 2 * self.weight.out_features));
        let (sums, dw) = (cutoff.wrapping_add(1), cuda.read(self.dw));
        cuda.launch([rows, 1], kernels::poltergeist_rows(sums, dw, outputs, inputs));
        cuda.launch([1, 1], kernels::poltergeist_cutoff(cutoff, sums, outputs, inputs, self.z));
        let (items, votes, grid) = ([rows * self.weight.in_features, 1], cuda.write(self.votes), cuda.grid(w.grid));
        let (scale, step, _) = cuda.scales(w).of_any_form();
        cuda.launch(items, kernels::poltergeist_vote(votes, dw, scale, step, grid, cutoff, outputs, inputs));
    }
}

impl RunOn<Cuda> for PoltergeistFlip {
    fn run_on(self, cuda: &mut Cuda) {
        cuda.zero(self.counts);
        let (w, [outputs, inputs], RandomKey { seed, tensor, step }) = (self.weight.grid(), sizes(&self.weight), self.key);
        let (codes, votes, counts) = (cuda.write(w.codes), cuda.write(self.votes), cuda.write(self.counts));
        let (scale, group_step, _) = cuda.scales(w).of_any_form();
        let (items, grid, consensus) = (blocks(&self.weight, 4), cuda.grid(w.grid), self.consensus as i32);
        let call = kernels::poltergeist_flip(
            codes,
            votes,
            scale,
            group_step,
            counts,
            grid,
            rails(w),
            outputs,
            inputs,
            consensus,
            seed,
            tensor,
            step,
        );
        cuda.launch(items, call);
    }
}
