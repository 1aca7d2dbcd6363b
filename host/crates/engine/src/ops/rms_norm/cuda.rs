//! Root mean square normalisation over rows on CUDA.

use primal_device::kernels::bias_backward::{self, GROUP};
use primal_device::kernels::rms_norm as kernels;

use super::{RmsNorm, RmsNormBackward};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for RmsNorm {
    fn run_on(self, cuda: &mut Cuda) {
        let (rows, dim) = (self.rstd.len(), self.dim);
        let (y, rstd, x, gamma) = (cuda.write(self.y), cuda.write(self.rstd), cuda.read(self.x), cuda.read(self.gamma));
        cuda.launch([rows, 1], kernels::rms_norm(y, rstd, x, gamma, self.eps, size(rows), size(dim)));
    }
}

impl RunOn<Cuda> for RmsNormBackward {
    fn run_on(self, cuda: &mut Cuda) {
        let (rows, dim) = (self.rstd.len(), self.dim);
        let groups = rows.div_ceil(GROUP as usize);
        let partial = cuda.scratch(groups * dim);
        let (dy, x, rstd, gamma) = (cuda.read(self.dy), cuda.read(self.x), cuda.read(self.rstd), cuda.read(self.gamma));
        let (dx, n, d) = (cuda.write(self.dx), size(rows), size(dim));
        cuda.launch([rows, 1], kernels::rms_norm_backward_input(dx, dy, x, rstd, gamma, n, d));
        cuda.launch([dim, rows], kernels::rms_norm_backward_groups(partial, dy, x, rstd, n, d));
        cuda.launch([dim, 1], bias_backward::bias_backward_finish(cuda.write(self.d_gamma), partial, size(groups), d));
    }
}
