//! Shadow weights on CUDA.

use primal_device::kernels::quantize as kernels;

use super::{Quantize, StraightThrough};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{blocks, rails, sizes};

impl RunOn<Cuda> for Quantize {
    fn run_on(self, cuda: &mut Cuda) {
        cuda.zero(self.counts);
        let (w, [outputs, inputs]) = (self.weight.grid(), sizes(&self.weight));
        let (codes, shadow, counts) = (cuda.write(w.codes), cuda.read(self.shadow), cuda.write(self.counts));
        let ((scale, step, offset), grid) = (cuda.scales(w).of_any_form(), cuda.grid(w.grid));
        let call = kernels::quantize(codes, scale, step, offset, shadow, counts, grid, rails(w), outputs, inputs);
        cuda.launch(blocks(&self.weight, 4), call);
    }
}

impl RunOn<Cuda> for StraightThrough {
    fn run_on(self, cuda: &mut Cuda) {
        let (w, [outputs, inputs], items) = (self.weight.grid(), sizes(&self.weight), [self.weight.out_features, 1]);
        let (d_shadow, d_scale, dw, shadow) = (
            cuda.write(self.d_shadow),
            self.d_scale.map_or(std::ptr::null_mut(), |d_scale| cuda.write(d_scale)),
            cuda.read(self.dw),
            cuda.read(self.shadow),
        );
        let (codes, (scale, step, offset), grid) = (cuda.read(w.codes), cuda.scales(w).of_any_form(), cuda.grid(w.grid));
        let call = kernels::straight_through(d_shadow, d_scale, dw, shadow, codes, scale, step, offset, grid, outputs, inputs);
        cuda.launch(items, call);
    }
}
