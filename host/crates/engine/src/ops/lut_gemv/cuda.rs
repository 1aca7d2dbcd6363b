//! One token's product on CUDA.

use primal_device::kernels::lut_gemv as kernels;

use super::LutGemv;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{ScalesAt, sizes};
use crate::backend::{RunOn, Storage};
use crate::ops::linear::Linear;

impl RunOn<Cuda> for LutGemv {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { y, x, weight } = self;
        let Storage::Grid(w) = weight.storage else { return Linear { y: y.into(), x: x.into(), weight, rows: 1 }.run_on(cuda) };
        let ([outputs, inputs], grid) = (sizes(&weight), cuda.grid(w.grid));
        let (items, y, x, codes) = ([weight.out_features, 1], cuda.write(y), cuda.read(x), cuda.read(w.codes));
        let scales = cuda.scales(&w);
        if w.grid.denominator().is_none() {
            return match scales {
                ScalesAt::Rows(scale) => cuda.launch(items, kernels::lut_gemv_float(y, x, codes, scale, grid, outputs, inputs)),
                ScalesAt::Groups { step, offset } => {
                    cuda.launch(items, kernels::lut_gemv_float_groups(y, x, codes, step, offset, grid, outputs, inputs));
                }
            };
        }
        // The step of x, sixteen values for alignment, then two integers a value of scratch.
        let x_step = cuda.scratch(kernels::QUANTIZED_AT + weight.in_features.next_multiple_of(kernels::STEP) / 2);
        let q = x_step.wrapping_add(kernels::QUANTIZED_AT).cast::<u32>();
        cuda.launch([1, 1], kernels::lut_gemv_quantize(q, x_step, x, inputs));
        match scales {
            ScalesAt::Rows(scale) => cuda.launch(items, kernels::lut_gemv(y, q, x_step, codes, scale, grid, outputs, inputs)),
            ScalesAt::Groups { step, offset } => {
                cuda.launch(items, kernels::lut_gemv_groups(y, q, x_step, codes, step, offset, grid, outputs, inputs));
            }
        }
    }
}
