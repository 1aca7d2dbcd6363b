//! Sums of activations on CUDA.

use primal_device::kernels::add as kernels;

use super::Add;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{halves, size};

impl RunOn<Cuda> for Add {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { y, a, b } = self;
        let call = kernels::add(cuda.write_values(y), cuda.read_values(a), cuda.read_values(b), halves([y, a, b]), size(y.len()));
        cuda.launch([y.len(), 1], call);
    }
}
