//! Absolute error on CUDA.

use primal_device::kernels::absolute_error as kernels;

use super::AbsoluteError;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for AbsoluteError {
    fn run_on(self, cuda: &mut Cuda) {
        let (rows, dim) = (self.losses.len(), self.x.len() / self.losses.len());
        let (losses, dx, x, target) = (cuda.write(self.losses), cuda.write(self.dx), cuda.read(self.x), cuda.read(self.target));
        cuda.launch([rows, 1], kernels::absolute_error(losses, dx, x, target, size(rows), size(dim), self.gradient_scale));
    }
}
