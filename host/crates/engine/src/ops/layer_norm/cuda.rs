//! Layer normalisation over rows on CUDA.

use primal_device::kernels::layer_norm as kernels;

use super::{LayerNorm, LayerNormBackward};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for LayerNorm {
    fn run_on(self, cuda: &mut Cuda) {
        let (rows, dim) = (self.mean.len(), self.dim);
        let (y, mean, rstd) = (cuda.write(self.y.f32()), cuda.write(self.mean), cuda.write(self.rstd));
        let (x, gamma, beta) = (cuda.read(self.x.f32()), cuda.read(self.gamma), cuda.read(self.beta));
        cuda.launch([rows, 1], kernels::layer_norm(y, mean, rstd, x, gamma, beta, size(rows), size(dim)));
    }
}

impl RunOn<Cuda> for LayerNormBackward {
    fn run_on(self, cuda: &mut Cuda) {
        let (rows, dim) = (self.mean.len(), self.dim);
        let groups = rows.div_ceil(kernels::GROUP as usize);
        let partial = cuda.scratch(groups * 2 * dim);
        let (dy, x, mean, rstd) = (cuda.read(self.dy), cuda.read(self.x.f32()), cuda.read(self.mean), cuda.read(self.rstd));
        let (dx, gamma, n, d) = (cuda.write(self.dx), cuda.read(self.gamma), size(rows), size(dim));
        cuda.launch([rows, 1], kernels::layer_norm_backward_input(dx, dy, x, mean, rstd, gamma, n, d));
        cuda.launch([dim, rows], kernels::layer_norm_backward_parameters(partial, dy, x, mean, rstd, n, d));
        let (d_gamma, d_beta) = (cuda.write(self.d_gamma), cuda.write(self.d_beta));
        cuda.launch([dim, 1], kernels::layer_norm_backward_finish(d_gamma, d_beta, partial, size(groups), d));
    }
}
