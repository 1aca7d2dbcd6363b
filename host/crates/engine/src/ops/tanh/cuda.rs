//! Hyperbolic tangent on CUDA.

use primal_device::kernels::tanh as kernels;

use super::{Tanh, TanhBackward};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for Tanh {
    fn run_on(self, cuda: &mut Cuda) {
        let n = self.y.len();
        cuda.launch([n, 1], kernels::tanh_forward(cuda.write(self.y), cuda.read(self.x), size(n)));
    }
}

impl RunOn<Cuda> for TanhBackward {
    fn run_on(self, cuda: &mut Cuda) {
        let n = self.dx.len();
        cuda.launch([n, 1], kernels::tanh_backward(cuda.write(self.dx), cuda.read(self.dy), cuda.read(self.y), size(n)));
    }
}
