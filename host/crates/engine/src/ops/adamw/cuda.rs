//! AdamW on CUDA.

use primal_device::kernels::adamw as kernels;

use super::{AdamW, AdamWStep};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for AdamW {
    fn run_on(self, cuda: &mut Cuda) {
        let AdamWStep { beta1, beta2, eps, max_norm, floor, .. } = self.step;
        let [rate, keep, second] = self.step.factors();
        let (value, m, v) = (cuda.write(self.value), cuda.write(self.m), cuda.write(self.v));
        let (gradient, norm, n) = (cuda.read(self.gradient), cuda.read(self.norm_squared), self.value.len());
        let call = kernels::adamw(value, gradient, m, v, norm, size(n), max_norm, rate, keep, second, beta1, beta2, eps, floor);
        cuda.launch([n, 1], call);
    }
}
