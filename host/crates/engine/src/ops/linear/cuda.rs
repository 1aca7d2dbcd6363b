//! The three products of a linear layer on CUDA.

use primal_device::kernels::{linear as kernels, linear_half as on_tensor_cores};

use super::{Linear, LinearBackwardInput, LinearBackwardWeight};
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{ScalesAt, halves, no_blocks, size};
use crate::backend::{RunOn, Storage};
use crate::memory::Act;

impl RunOn<Cuda> for Linear {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { weight, rows, .. } = self;
        let x = self.x.slice(0, rows * weight.in_features);
        let items = [weight.out_features, rows];
        let [n, outputs, inputs, stride] = [rows, weight.out_features, weight.in_features, self.y.len() / rows].map(size);
        let (y, y_halves, half, of_x) =
            (cuda.write_values(self.y), halves([self.y]), x.act() == Act::F16, (x, weight.in_features, weight.in_features));
        let x = cuda.read_values(x);
        match weight.storage {
            Storage::Grid(w) => {
                let (codes, grid) = (cuda.read(w.codes), cuda.grid(w.grid));
                match (cuda.scales(&w), cuda.on_tensor_cores(&w)) {
                    (ScalesAt::Rows(scale), true) => {
                        let [largest] = cuda.largest([of_x]);
                        let call = if half { on_tensor_cores::f16_linear_grid_half } else { on_tensor_cores::linear_grid_half };
                        cuda.launch(items, call(y, y_halves, x, largest, codes, scale, grid, n, outputs, inputs, stride));
                    }
                    (ScalesAt::Rows(scale), false) => {
                        let call = if half { kernels::f16_linear_grid } else { kernels::linear_grid };
                        cuda.launch(items, call(y, y_halves, x, codes, scale, grid, n, outputs, inputs, stride));
                    }
                    (ScalesAt::Groups { step, offset }, true) => {
                        let [of_x, of_step, of_offset] = cuda.largest_with_groups(of_x, &w);
                        let call = if half { on_tensor_cores::f16_linear_groups_half } else { on_tensor_cores::linear_groups_half };
                        let call = call(y, y_halves, x, of_x, codes, step, of_step, offset, of_offset, grid, n, outputs, inputs, stride);
                        cuda.launch(items, call);
                    }
                    (ScalesAt::Groups { step, offset }, false) => {
                        let call = if half { kernels::f16_linear_groups } else { kernels::linear_groups };
                        cuda.launch(items, call(y, y_halves, x, codes, step, offset, grid, n, outputs, inputs, stride));
                    }
                }
            }
            Storage::Float(values) => {
                let call = if half { kernels::f16_linear_float } else { kernels::linear_float };
                cuda.launch(items, call(y, y_halves, x, cuda.read(values), n, outputs, inputs, stride));
            }
            Storage::Blocks(_) => no_blocks(),
        }
    }
}

impl RunOn<Cuda> for LinearBackwardInput {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { dy, weight, rows, .. } = self;
        let (items, apart) = ([weight.in_features, rows], dy.len() / rows);
        let [n, outputs, inputs, stride] = [rows, weight.out_features, weight.in_features, apart].map(size);
        let (dx, add, of_dy) = (cuda.write(self.dx), u32::from(self.accumulate), (dy.into(), weight.out_features, apart));
        let dy = cuda.read(dy);
        match weight.storage {
            Storage::Grid(w) => {
                let (codes, grid) = (cuda.read(w.codes), cuda.grid(w.grid));
                match (cuda.scales(&w), cuda.on_tensor_cores(&w)) {
                    (ScalesAt::Rows(scale), true) => {
                        let scales = w.scales.of_rows().expect("scales of rows");
                        let [of_dy, of_scale] = cuda.largest([of_dy, (scales.into(), scales.len(), scales.len())]);
                        cuda.launch_parts((dx, add), items, weight.out_features, |(dx, add), parts| {
                            on_tensor_cores::linear_backward_input_grid_half(
                                dx, dy, of_dy, codes, scale, of_scale, grid, n, outputs, inputs, stride, add, parts,
                            )
                        });
                    }
                    (ScalesAt::Rows(scale), false) => {
                        let call = kernels::linear_backward_input_grid(dx, dy, codes, scale, grid, n, outputs, inputs, stride, add);
                        cuda.launch(items, call);
                    }
                    (ScalesAt::Groups { step, offset }, true) => {
                        let [of_dy, of_step, of_offset] = cuda.largest_with_groups(of_dy, &w);
                        cuda.launch_parts((dx, add), items, weight.out_features, |(dx, add), parts| {
                            on_tensor_cores::linear_backward_input_groups_half(
                                dx, dy, of_dy, codes, step, of_step, offset, of_offset, grid, n, outputs, inputs, stride, add, parts,
                            )
                        });
                    }
                    (ScalesAt::Groups { step, offset }, false) => {
                        let call =
                            kernels::linear_backward_input_groups(dx, dy, codes, step, offset, grid, n, outputs, inputs, stride, add);
                        cuda.launch(items, call);
                    }
                }
            }
            Storage::Float(values) => {
                let call = kernels::linear_backward_input_float(dx, dy, cuda.read(values), n, outputs, inputs, stride, add);
                cuda.launch(items, call);
            }
            Storage::Blocks(_) => no_blocks(),
        }
    }
}

impl RunOn<Cuda> for LinearBackwardWeight {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { dy, x, rows, .. } = self;
        let (inputs, apart, half) = (x.len() / rows, dy.len() / rows, x.act() == Act::F16);
        let outputs = self.dw.len() / inputs;
        let [n, o, i, stride] = [rows, outputs, inputs, apart].map(size);
        let (items, dw, add) = ([inputs, outputs], cuda.write(self.dw), u32::from(self.accumulate));
        let columns = |cuda: &Cuda| cuda.read(dy).wrapping_add(self.first);
        if cuda.have_float_tensor_cores() {
            let [of_dy, of_x] = cuda.largest([(dy.into(), self.outputs, apart), (x, inputs, inputs)]);
            let call = if half { on_tensor_cores::f16_linear_backward_weight_half } else { on_tensor_cores::linear_backward_weight_half };
            let (dy, x) = (columns(cuda), cuda.read_values(x));
            cuda.launch_parts((dw, add), items, rows, |(dw, add), parts| call(dw, dy, of_dy, x, of_x, n, o, i, stride, add, parts));
        } else {
            let call = if half { kernels::f16_linear_backward_weight } else { kernels::linear_backward_weight };
            cuda.launch(items, call(dw, columns(cuda), cuda.read_values(x), n, o, i, stride, add));
        }
    }
}
