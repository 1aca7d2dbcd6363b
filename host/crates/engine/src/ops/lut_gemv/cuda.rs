//! One token's product on CUDA.

use primal_device::kernels::lut_gemv as kernels;

use super::LutGemv;
use crate::backend::RunOn;
use crate::backend::Storage;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{row_scales, sizes};
use crate::ops::linear::Linear;

impl RunOn<Cuda> for LutGemv {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { y, x, weight } = self;
        let Storage::Grid(w) = weight.storage else { return Linear { y: y.into(), x: x.into(), weight, rows: 1 }.run_on(cuda) };
        let ([outputs, inputs], grid) = (sizes(&weight), cuda.grid(w.grid));
        let (items, y, codes, scale) = ([weight.out_features, 1], cuda.write(y), cuda.read(w.codes), cuda.read(row_scales(&w)));
        if w.grid.denominator().is_none() {
            return cuda.launch(items, kernels::lut_gemv_float(y, cuda.read(x), codes, scale, grid, outputs, inputs));
        }
        // The step, sixteen values for alignment, then two integers a value of scratch.
        let step = cuda.scratch(kernels::QUANTIZED_AT + weight.in_features.next_multiple_of(kernels::STEP) / 2);
        let q = step.wrapping_add(kernels::QUANTIZED_AT).cast::<u32>();
        cuda.launch([1, 1], kernels::lut_gemv_quantize(q, step, cuda.read(x), inputs));
        cuda.launch(items, kernels::lut_gemv(y, q, step, codes, scale, grid, outputs, inputs));
    }
}
