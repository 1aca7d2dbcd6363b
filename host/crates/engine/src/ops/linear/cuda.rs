//! The three products of a linear layer on CUDA.

use primal_device::kernels::{linear as kernels, linear_half as halves};

use super::{Linear, LinearBackwardInput, LinearBackwardWeight};
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{ScalesAt, row_scales, size};
use crate::backend::{RunOn, Scales, Storage};

impl RunOn<Cuda> for Linear {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { weight, rows, .. } = self;
        let (items, x) = ([weight.out_features, rows], self.x.f32().slice(0, rows * weight.in_features));
        let [n, outputs, inputs, stride] = [rows, weight.out_features, weight.in_features, self.y.len() / rows].map(size);
        let y = cuda.write(self.y.f32());
        match weight.storage {
            Storage::Grid(w) => {
                let (codes, ScalesAt { scale, step, offset }, grid) = (cuda.read(w.codes), cuda.scales(&w), cuda.grid(w.grid));
                let (of_rows, on_tensor_cores) = (matches!(w.scales, Scales::Row(_)), cuda.on_tensor_cores(&w));
                let of_x = (x, weight.in_features, weight.in_features);
                let x = cuda.read(x);
                match (of_rows, on_tensor_cores) {
                    (true, true) => {
                        let [largest] = cuda.largest([of_x]);
                        cuda.launch(items, halves::linear_grid_half(y, x, largest, codes, scale, grid, n, outputs, inputs, stride));
                    }
                    (true, false) => cuda.launch(items, kernels::linear_grid(y, x, codes, scale, grid, n, outputs, inputs, stride)),
                    (false, true) => {
                        let [of_x, of_step, of_offset] = cuda.largest_with_groups(of_x, w.scales);
                        let call = halves::linear_groups_half(
                            y, x, of_x, codes, step, of_step, offset, of_offset, grid, n, outputs, inputs, stride,
                        );
                        cuda.launch(items, call);
                    }
                    (false, false) => {
                        cuda.launch(items, kernels::linear_groups(y, x, codes, step, offset, grid, n, outputs, inputs, stride));
                    }
                }
            }
            Storage::Float(values) => {
                cuda.launch(items, kernels::linear_float(y, cuda.read(x), cuda.read(values), n, outputs, inputs, stride));
            }
        }
    }
}

impl RunOn<Cuda> for LinearBackwardInput {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { dy, weight, rows, .. } = self;
        let (items, apart) = ([weight.in_features, rows], dy.len() / rows);
        let [n, outputs, inputs, stride] = [rows, weight.out_features, weight.in_features, apart].map(size);
        let (dx, add) = (cuda.write(self.dx), u32::from(self.accumulate));
        match weight.storage {
            Storage::Grid(w) => {
                let (codes, ScalesAt { scale, step, offset }, grid) = (cuda.read(w.codes), cuda.scales(&w), cuda.grid(w.grid));
                let (of_rows, on_tensor_cores) = (matches!(w.scales, Scales::Row(_)), cuda.on_tensor_cores(&w));
                let of_dy = (dy, weight.out_features, apart);
                let dy = cuda.read(dy);
                match (of_rows, on_tensor_cores) {
                    (true, true) => {
                        let scales = row_scales(&w).len();
                        let [of_dy, of_scale] = cuda.largest([of_dy, (row_scales(&w), scales, scales)]);
                        let call = halves::linear_backward_input_grid_half(
                            dx, dy, of_dy, codes, scale, of_scale, grid, n, outputs, inputs, stride, add,
                        );
                        cuda.launch(items, call);
                    }
                    (true, false) => {
                        let call = kernels::linear_backward_input_grid(dx, dy, codes, scale, grid, n, outputs, inputs, stride, add);
                        cuda.launch(items, call);
                    }
                    (false, true) => {
                        let [of_dy, of_step, of_offset] = cuda.largest_with_groups(of_dy, w.scales);
                        let call = halves::linear_backward_input_groups_half(
                            dx, dy, of_dy, codes, step, of_step, offset, of_offset, grid, n, outputs, inputs, stride, add,
                        );
                        cuda.launch(items, call);
                    }
                    (false, false) => {
                        let call =
                            kernels::linear_backward_input_groups(dx, dy, codes, step, offset, grid, n, outputs, inputs, stride, add);
                        cuda.launch(items, call);
                    }
                }
            }
            Storage::Float(values) => {
                let (dy, values) = (cuda.read(dy), cuda.read(values));
                cuda.launch(items, kernels::linear_backward_input_float(dx, dy, values, n, outputs, inputs, stride, add));
            }
        }
    }
}

impl RunOn<Cuda> for LinearBackwardWeight {
    fn run_on(self, cuda: &mut Cuda) {
        let (dy, x, rows) = (self.dy, self.x.f32(), self.rows);
        let (inputs, apart) = (x.len() / rows, dy.len() / rows);
        let outputs = self.dw.len() / inputs;
        let [n, o, i, stride] = [rows, outputs, inputs, apart].map(size);
        let (items, dw, add) = ([inputs, outputs], cuda.write(self.dw), u32::from(self.accumulate));
        if cuda.have_float_tensor_cores() {
            let [of_dy, of_x] = cuda.largest([(dy, outputs, apart), (x, inputs, inputs)]);
            let (dy, x) = (cuda.read(dy), cuda.read(x));
            cuda.launch(items, halves::linear_backward_weight_half(dw, dy, of_dy, x, of_x, n, o, i, stride, add));
        } else {
            cuda.launch(items, kernels::linear_backward_weight(dw, cuda.read(dy), cuda.read(x), n, o, i, stride, add));
        }
    }
}
