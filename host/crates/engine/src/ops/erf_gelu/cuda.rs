//! Exact GELU on CUDA.

use primal_device::kernels::erf_gelu as kernels;

use super::ErfGelu;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for ErfGelu {
    fn run_on(self, cuda: &mut Cuda) {
        let n = self.y.len();
        cuda.launch([n, 1], kernels::erf_gelu_forward(cuda.write(self.y), cuda.read(self.x), size(n)));
    }
}
