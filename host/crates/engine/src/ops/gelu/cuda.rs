//! GELU on CUDA.

use primal_device::kernels::gelu as kernels;

use super::{Gelu, GeluBackward};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for Gelu {
    fn run_on(self, cuda: &mut Cuda) {
        let n = self.y.len();
        cuda.launch([n, 1], kernels::gelu(cuda.write(self.y.f32()), cuda.read(self.x.f32()), size(n)));
    }
}

impl RunOn<Cuda> for GeluBackward {
    fn run_on(self, cuda: &mut Cuda) {
        let n = self.dx.len();
        cuda.launch([n, 1], kernels::gelu_backward(cuda.write(self.dx), cuda.read(self.dy), cuda.read(self.x.f32()), size(n)));
    }
}
