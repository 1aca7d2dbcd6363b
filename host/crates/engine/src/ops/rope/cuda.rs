//! Rotary positions on CUDA.

use primal_device::kernels::rope as kernels;

use super::{Rope, RotaryPairs};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for Rope {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { head_dim, pairs, .. } = self;
        let [rows, width] = self.shape();
        let (x, table, positions) = (cuda.write(self.x), cuda.read(self.table), cuda.read(self.positions));
        // The two values of pair i are at i·step and i·step + apart.
        let [step, apart] = match self.layout {
            RotaryPairs::Adjacent => [2, 1],
            RotaryPairs::Halves => [1, pairs],
        };
        let sign = if self.inverse { -1.0 } else { 1.0 };
        let shape = [rows, width / head_dim * pairs];
        cuda.launch(shape, kernels::rope(x, table, positions, size(width), size(head_dim), size(pairs), size(step), size(apart), sign));
    }
}
