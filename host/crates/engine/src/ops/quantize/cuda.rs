//! Shadow weights on CUDA.

use primal_device::kernels::quantize as kernels;

use super::{Quantize, StraightThrough};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{blocks, row_scales, sizes};

impl RunOn<Cuda> for Quantize {
    fn run_on(self, cuda: &mut Cuda) {
        cuda.zero(self.counts);
        let (w, [outputs, inputs]) = (self.weight.grid(), sizes(&self.weight));
        let (codes, scale, shadow, counts) =
            (cuda.write(w.codes), cuda.read(row_scales(w)), cuda.read(self.shadow), cuda.write(self.counts));
        cuda.launch(blocks(&self.weight, 4), kernels::quantize(codes, scale, shadow, counts, cuda.grid(w.grid), outputs, inputs));
    }
}

impl RunOn<Cuda> for StraightThrough {
    fn run_on(self, cuda: &mut Cuda) {
        let (w, [outputs, inputs], items) = (self.weight.grid(), sizes(&self.weight), [self.weight.out_features, 1]);
        let (d_shadow, d_scale, dw, shadow) = (
            cuda.write(self.d_shadow),
            cuda.write(self.d_scale.expect("scales of rows are trained")),
            cuda.read(self.dw),
            cuda.read(self.shadow),
        );
        let (codes, scale) = (cuda.read(w.codes), cuda.read(row_scales(w)));
        cuda.launch(items, kernels::straight_through(d_shadow, d_scale, dw, shadow, codes, scale, cuda.grid(w.grid), outputs, inputs));
    }
}
