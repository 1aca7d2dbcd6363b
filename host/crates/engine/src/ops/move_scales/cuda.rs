//! Moves of scales on CUDA.

use primal_device::kernels::move_scales as kernels;

use super::MoveScales;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;
use crate::ops::RandomKey;
use crate::ops::vote::cuda::divisors;

impl RunOn<Cuda> for MoveScales {
    fn run_on(self, cuda: &mut Cuda) {
        let [mean, factor] = divisors(cuda, self.row, self.column, self.gradient, [self.beta2, self.bias_correction], false);
        let ([rows, columns], RandomKey { seed, tensor, step }) = ([self.row.len(), self.column.len()].map(size), self.key);
        let (scales, gradient, row) = (cuda.write(self.scales).cast(), cuda.read(self.gradient), cuda.read(self.row));
        let call = kernels::move_scales(scales, gradient, row, mean, factor, rows, columns, self.lr, seed, tensor, step);
        cuda.launch([self.scales.len(), 1], call);
    }
}
