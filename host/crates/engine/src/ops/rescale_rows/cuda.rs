//! Wider row scales on CUDA.

use primal_device::kernels::rescale_rows as kernels;
use primal_device::rules::votes::VoteRule;

use super::RescaleRows;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{row_scales, sizes};

impl RunOn<Cuda> for RescaleRows {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { weight, state, share, factor, .. } = self;
        let (w, [_, inputs]) = (weight.grid(), sizes(&weight));
        let (codes, scale, votes) = (cuda.write(w.codes), cuda.write(row_scales(w)), cuda.write(state.votes));
        let (items, grid, VoteRule { max, quantum, .. }) = ([weight.out_features, 1], cuda.grid(w.grid), self.rule);
        cuda.launch(items, kernels::rescale_rows(codes, scale, votes, state.width(), grid, inputs, max, quantum, share, factor));
    }
}
