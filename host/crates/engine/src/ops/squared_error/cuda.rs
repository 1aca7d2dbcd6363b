//! Squared error on CUDA.

use primal_device::kernels::squared_error as kernels;

use super::SquaredError;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for SquaredError {
    fn run_on(self, cuda: &mut Cuda) {
        let (rows, dim) = (self.losses.len(), self.x.len() / self.losses.len());
        let (losses, dx, x, target) = (cuda.write(self.losses), cuda.write(self.dx), cuda.read(self.x), cuda.read(self.target));
        cuda.launch([rows, 1], kernels::squared_error(losses, dx, x, target, size(rows), size(dim), self.gradient_scale));
    }
}
