//! Activations in another form on CUDA.

use primal_device::kernels::convert as kernels;

use super::Convert;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{halves, size};

impl RunOn<Cuda> for Convert {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { y, x } = self;
        assert_eq!(y.len(), x.len(), "values to convert");
        cuda.launch([y.len(), 1], kernels::convert(cuda.write_values(y), cuda.read_values(x), halves([y, x]), size(y.len())));
    }
}
