//! GELU on CUDA.

use primal_device::kernels::gelu as kernels;

use super::{Gelu, GeluBackward};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{halves, size};

impl RunOn<Cuda> for Gelu {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { y, x } = self;
        cuda.launch([y.len(), 1], kernels::gelu(cuda.write_values(y), cuda.read_values(x), halves([y, x]), size(y.len())));
    }
}

impl RunOn<Cuda> for GeluBackward {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { dx, dy, x } = self;
        let call = kernels::gelu_backward(cuda.write(dx), cuda.read(dy), cuda.read_values(x), halves([x]), size(dx.len()));
        cuda.launch([dx.len(), 1], call);
    }
}
