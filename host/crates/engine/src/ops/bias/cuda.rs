//! Biases and their gradient on CUDA.

use primal_device::kernels::{bias, bias_backward as kernels};

use super::{Bias, BiasBackward};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{halves, size};

impl RunOn<Cuda> for Bias {
    fn run_on(self, cuda: &mut Cuda) {
        let (n, dim) = (self.y.len(), self.bias.len());
        cuda.launch([n, 1], bias::bias(cuda.write_values(self.y), halves([self.y]), cuda.read(self.bias), size(n), size(dim)));
    }
}

impl RunOn<Cuda> for BiasBackward {
    fn run_on(self, cuda: &mut Cuda) {
        let dim = self.d_bias.len();
        let rows = self.dy.len() / dim;
        let groups = rows.div_ceil(kernels::GROUP as usize);
        let (partial, d_bias, dy) = (cuda.scratch(groups * dim), cuda.write(self.d_bias), cuda.read(self.dy));
        cuda.launch([dim, rows], kernels::bias_backward_groups(partial, dy, size(rows), size(dim)));
        cuda.launch([dim, 1], kernels::bias_backward_finish(d_bias, partial, size(groups), size(dim)));
    }
}
