//! Layer normalisation over rows on CUDA.

use primal_device::kernels::layer_norm as kernels;

use super::{LayerNorm, LayerNormBackward};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{halves, size};

impl RunOn<Cuda> for LayerNorm {
    fn run_on(self, cuda: &mut Cuda) {
        let (rows, dim) = (self.mean.len(), self.dim);
        let (y, mean, rstd) = (cuda.write_values(self.y), cuda.write(self.mean), cuda.write(self.rstd));
        let (x, gamma, beta) = (cuda.read_values(self.x), cuda.read(self.gamma), cuda.read(self.beta));
        let in_half = halves([self.y, self.x]);
        cuda.launch([rows, 1], kernels::layer_norm(y, mean, rstd, x, in_half, gamma, beta, size(rows), size(dim)));
    }
}

impl RunOn<Cuda> for LayerNormBackward {
    fn run_on(self, cuda: &mut Cuda) {
        let (rows, dim) = (self.mean.len(), self.dim);
        let groups = rows.div_ceil(kernels::GROUP as usize);
        let partial = cuda.scratch(groups * 2 * dim);
        let (dy, x, mean, rstd) = (cuda.read(self.dy), cuda.read_values(self.x), cuda.read(self.mean), cuda.read(self.rstd));
        let in_half = halves([self.x]);
        let (dx, gamma, n, d) = (cuda.write(self.dx), cuda.read(self.gamma), size(rows), size(dim));
        cuda.launch([rows, 1], kernels::layer_norm_backward_input(dx, dy, x, in_half, mean, rstd, gamma, n, d));
        cuda.launch([dim, rows], kernels::layer_norm_backward_parameters(partial, dy, x, in_half, mean, rstd, n, d));
        let (d_gamma, d_beta) = (cuda.write(self.d_gamma), cuda.write(self.d_beta));
        cuda.launch([dim, 1], kernels::layer_norm_backward_finish(d_gamma, d_beta, partial, size(groups), d));
    }
}
