//! The gradient of row scales on CUDA.

use primal_device::kernels::scale_gradient as kernels;

use super::ScaleGradient;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::sizes;

impl RunOn<Cuda> for ScaleGradient {
    fn run_on(self, cuda: &mut Cuda) {
        let (w, [outputs, inputs]) = (self.weight.grid(), sizes(&self.weight));
        let (d_scale, dw, codes) = (cuda.write(self.d_scale), cuda.read(self.dw), cuda.read(w.codes));
        cuda.launch([self.weight.out_features, 1], kernels::scale_gradient(d_scale, dw, codes, cuda.grid(w.grid), outputs, inputs));
    }
}
