//! Leaky rectified linear units on CUDA.

use primal_device::kernels::leaky_relu as kernels;

use super::{LeakyRelu, LeakyReluBackward};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for LeakyRelu {
    fn run_on(self, cuda: &mut Cuda) {
        let n = self.y.len();
        cuda.launch([n, 1], kernels::leaky_relu(cuda.write(self.y), cuda.read(self.x), size(n), self.slope));
    }
}

impl RunOn<Cuda> for LeakyReluBackward {
    fn run_on(self, cuda: &mut Cuda) {
        let n = self.dx.len();
        let (dx, dy, x) = (cuda.write(self.dx), cuda.read(self.dy), cuda.read(self.x));
        cuda.launch([n, 1], kernels::leaky_relu_backward(dx, dy, x, size(n), self.slope));
    }
}
