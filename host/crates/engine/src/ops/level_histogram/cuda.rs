//! How many weights are at each level, on CUDA.

use primal_device::kernels::level_histogram as kernels;

use super::LevelHistogram;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{blocks, sizes};

impl RunOn<Cuda> for LevelHistogram {
    fn run_on(self, cuda: &mut Cuda) {
        cuda.zero(self.counts);
        let (w, [outputs, inputs]) = (self.weight.grid(), sizes(&self.weight));
        let (counts, codes) = (cuda.write(self.counts), cuda.read(w.codes));
        cuda.launch(blocks(&self.weight, 16), kernels::level_histogram(counts, codes, outputs, inputs));
    }
}
