//! Transposed convolution on CUDA.

use primal_device::kernels::conv_transpose1d as kernels;

use super::ConvTranspose1d;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{ScalesAt, no_blocks, size};
use crate::backend::{RunOn, Storage};

impl RunOn<Cuda> for ConvTranspose1d {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { weight, stride, .. } = self;
        let rows = self.x.len() / weight.in_features;
        let outputs = self.y.len() / (rows * stride);
        let (items, kernel) = ([stride * outputs, rows], weight.out_features / outputs);
        let [rows, outputs, inputs, kernel, stride] = [rows, outputs, weight.in_features, kernel, stride].map(size);
        let (y, x, bias) = (cuda.write(self.y), cuda.read(self.x), cuda.bias(self.bias));
        match weight.storage {
            Storage::Grid(w) => {
                let (codes, grid) = (cuda.read(w.codes), cuda.grid(w.grid));
                match cuda.scales(&w) {
                    ScalesAt::Rows(scale) => {
                        let call = kernels::conv_transpose1d_grid(y, x, codes, scale, grid, bias, rows, outputs, inputs, kernel, stride);
                        cuda.launch(items, call);
                    }
                    ScalesAt::Groups { step, offset } => {
                        let call =
                            kernels::conv_transpose1d_groups(y, x, codes, step, offset, grid, bias, rows, outputs, inputs, kernel, stride);
                        cuda.launch(items, call);
                    }
                }
            }
            Storage::Blocks(_) => no_blocks(),
            Storage::Float(values) => {
                let values = cuda.read(values);
                cuda.launch(items, kernels::conv_transpose1d_float(y, x, values, bias, rows, outputs, inputs, kernel, stride));
            }
        }
    }
}
