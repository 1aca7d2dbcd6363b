//! The gradients of scales on CUDA.

use primal_device::grid::groups;
use primal_device::kernels::scale_gradient as kernels;

use super::ScaleGradient;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::sizes;
use crate::backend::{RunOn, Scales};
use crate::memory::Span;

impl RunOn<Cuda> for ScaleGradient {
    fn run_on(self, cuda: &mut Cuda) {
        let (w, [outputs, inputs]) = (self.weight.grid(), sizes(&self.weight));
        let (dw, codes, grid) = (cuda.read(self.dw), cuda.read(w.codes), cuda.grid(w.grid));
        let of_groups = |step: Span<f32>, offset: Option<Span<f32>>| {
            let offset = offset.map_or(std::ptr::null_mut(), |offset| cuda.write(offset));
            let items = [self.weight.out_features * groups(self.weight.in_features), 1];
            cuda.launch(items, kernels::group_scale_gradient(cuda.write(step), offset, dw, codes, grid, outputs, inputs));
        };
        match self.d_scales {
            Scales::Row(d_scale) => {
                let d_scale = cuda.write(d_scale);
                cuda.launch([self.weight.out_features, 1], kernels::scale_gradient(d_scale, dw, codes, grid, outputs, inputs));
            }
            Scales::Group32 { step } => of_groups(step, None),
            Scales::Group32Offset { step, offset } => of_groups(step, Some(offset)),
        }
    }
}
