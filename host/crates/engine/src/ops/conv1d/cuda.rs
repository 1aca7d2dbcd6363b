//! Convolution within sequences on CUDA.

use primal_device::kernels::conv1d as kernels;

use super::{Conv1d, Conv1dBackwardInput, Conv1dBackwardWeight, ConvolutionShape};
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{ScalesAt, no_blocks, size};
use crate::backend::{RunOn, Storage};

/// The sizes that the kernels take: sequences, rows of each, rows, outputs, inputs, taps, dilation.
fn sizes(shape: ConvolutionShape, outputs: usize, inputs: usize) -> [u32; 7] {
    let ConvolutionShape { sequences, kernel, dilation } = shape;
    [sequences.count(), sequences.longest(), sequences.rows(), outputs, inputs, kernel, dilation].map(size)
}

impl RunOn<Cuda> for Conv1d {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { weight, shape, .. } = self;
        let items = [weight.out_features, shape.sequences.rows()];
        let [count, len, rows, outputs, inputs, taps, dilation] = sizes(shape, weight.out_features, weight.in_features / shape.kernel);
        let (y, x, bias, at) = (cuda.write(self.y), cuda.read(self.x), cuda.bias(self.bias), cuda.offsets(shape.sequences));
        let add = u32::from(self.accumulate);
        match weight.storage {
            Storage::Grid(w) => {
                let (codes, grid) = (cuda.read(w.codes), cuda.grid(w.grid));
                match cuda.scales(&w) {
                    ScalesAt::Rows(scale) => {
                        let call = kernels::conv1d_grid(
                            y, x, codes, scale, grid, bias, at, count, len, rows, outputs, inputs, taps, dilation, add,
                        );
                        cuda.launch(items, call);
                    }
                    ScalesAt::Groups { step, offset } => {
                        let call = kernels::conv1d_groups(
                            y, x, codes, step, offset, grid, bias, at, count, len, rows, outputs, inputs, taps, dilation, add,
                        );
                        cuda.launch(items, call);
                    }
                }
            }
            Storage::Blocks(_) => no_blocks(),
            Storage::Float(values) => {
                let values = cuda.read(values);
                cuda.launch(items, kernels::conv1d_float(y, x, values, bias, at, count, len, rows, outputs, inputs, taps, dilation, add));
            }
        }
    }
}

impl RunOn<Cuda> for Conv1dBackwardInput {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { weight, shape, .. } = self;
        let inputs = weight.in_features / shape.kernel;
        let items = [inputs, shape.sequences.rows()];
        let [count, len, rows, outputs, inputs, taps, dilation] = sizes(shape, weight.out_features, inputs);
        let (dx, dy, at) = (cuda.write(self.dx), cuda.read(self.dy), cuda.offsets(shape.sequences));
        let add = u32::from(self.accumulate);
        match weight.storage {
            Storage::Grid(w) => {
                let (codes, grid) = (cuda.read(w.codes), cuda.grid(w.grid));
                match cuda.scales(&w) {
                    ScalesAt::Rows(scale) => {
                        let call = kernels::conv1d_backward_input_grid(
                            dx, dy, codes, scale, grid, at, count, len, rows, outputs, inputs, taps, dilation, add,
                        );
                        cuda.launch(items, call);
                    }
                    ScalesAt::Groups { step, offset } => {
                        let call = kernels::conv1d_backward_input_groups(
                            dx, dy, codes, step, offset, grid, at, count, len, rows, outputs, inputs, taps, dilation, add,
                        );
                        cuda.launch(items, call);
                    }
                }
            }
            Storage::Blocks(_) => no_blocks(),
            Storage::Float(values) => {
                let values = cuda.read(values);
                let call = kernels::conv1d_backward_input_float(dx, dy, values, at, count, len, rows, outputs, inputs, taps, dilation, add);
                cuda.launch(items, call);
            }
        }
    }
}

impl RunOn<Cuda> for Conv1dBackwardWeight {
    fn run_on(self, cuda: &mut Cuda) {
        let (shape, n) = (self.shape, self.shape.sequences.rows());
        let (outputs, inputs) = (self.dy.len() / n, self.x.len() / n);
        let items = [shape.kernel * inputs, outputs];
        let [count, len, rows, outputs, inputs, taps, dilation] = sizes(shape, outputs, inputs);
        let (dw, dy, x, at) = (cuda.write(self.dw), cuda.read(self.dy), cuda.read(self.x), cuda.offsets(shape.sequences));
        let add = u32::from(self.accumulate);
        cuda.launch(items, kernels::conv1d_backward_weight(dw, dy, x, at, count, len, rows, outputs, inputs, taps, dilation, add));
    }
}
