//! Flips on CUDA.

use primal_device::kernels::flip as kernels;
use primal_device::rules::votes::VoteRule;

use super::Flip;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{blocks, rails, sizes};

impl RunOn<Cuda> for Flip {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { weight, state, counts, .. } = self;
        cuda.zero(counts);
        let (w, [outputs, inputs]) = (weight.grid(), sizes(&weight));
        let (codes, votes, counts) = (cuda.write(w.codes), cuda.write(state.votes), cuda.write(counts));
        let (items, grid, VoteRule { threshold, consumed, .. }) = (blocks(&weight, 16), cuda.grid(w.grid), self.rule);
        cuda.launch(items, kernels::flip(codes, votes, state.width(), counts, grid, rails(w), outputs, inputs, threshold, consumed));
    }
}
