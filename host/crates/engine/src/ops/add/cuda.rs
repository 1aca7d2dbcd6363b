//! Sums of activations on CUDA.

use primal_device::kernels::add as kernels;

use super::Add;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for Add {
    fn run_on(self, cuda: &mut Cuda) {
        let n = self.y.len();
        cuda.launch([n, 1], kernels::add(cuda.write(self.y.f32()), cuda.read(self.a.f32()), cuda.read(self.b.f32()), size(n)));
    }
}
