//! Convolution within sequences on the CPU.

use super::{Conv1d, Conv1dBackwardInput, Conv1dBackwardWeight, ConvolutionShape};
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::gemm::{Left, for_each_tile, gemm, tile};
use crate::backend::cpu::memory::Parts;
use crate::backend::cpu::scratch::of_thread;
use crate::backend::cpu::sequences::{Bounds, offsets};
use crate::backend::cpu::weight::add_bias;
use crate::backend::cpu::windows::{Reversed, Windows};

/// The windows of x `[rows, width]` around each row.
fn windows<'a>(of: ConvolutionShape, bounds: Bounds<'a>, x: &'a [f32], width: usize) -> Windows<'a> {
    let ConvolutionShape { kernel, dilation, .. } = of;
    assert!(kernel % 2 == 1, "a kernel of {kernel} taps has no middle");
    Windows { x, width, first: -((kernel / 2 * dilation) as isize), dilation, bounds }
}

impl RunOn<Cpu> for Conv1d {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { weight, shape, accumulate, .. } = self;
        let (outputs, columns) = (weight.out_features, weight.in_features);
        cpu.with_weight((self.y, self.x), &weight, self.bias, shape.sequences, |o| {
            let rows = o.y.len() / outputs;
            let left = windows(shape, o.bounds, o.x, columns / shape.kernel);
            let right = o.values.transposed(columns);
            let (y, bias, scratch) = (Parts::new(o.y), o.bias, Parts::new(o.scratch));
            for_each_tile(rows, outputs, columns, |at| {
                if !bias.is_empty() {
                    for row in at.row..at.row + at.rows {
                        // SAFETY: tiles are disjoint.
                        let y = unsafe { y.part(row * outputs + at.column, at.columns) };
                        add_bias(y, &bias[at.column..][..at.columns], accumulate);
                    }
                }
                // SAFETY: tiles are disjoint, and each thread uses its own scratch.
                unsafe {
                    tile(y.base().add(at.start(outputs)), outputs, at, left, right, accumulate || !bias.is_empty(), of_thread(&scratch))
                };
            });
        });
    }
}

/// The convolution of dy with the taps in reverse, inputs and outputs exchanged.
impl RunOn<Cpu> for Conv1dBackwardInput {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { weight, shape, accumulate, .. } = self;
        let (outputs, columns) = (weight.out_features, weight.in_features);
        cpu.with_weight((self.dx, self.dy), &weight, None, shape.sequences, |o| {
            let inputs = columns / shape.kernel;
            let taps = o.values.plain(columns);
            let right = Reversed { taps, depth: outputs, first: columns - inputs, step: inputs };
            let rows = o.y.len() / inputs;
            gemm(o.y, rows, inputs, shape.kernel * outputs, windows(shape, o.bounds, o.x, outputs), right, accumulate, o.scratch);
        });
    }
}

impl RunOn<Cpu> for Conv1dBackwardWeight {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { shape, accumulate, .. } = self;
        let rows = shape.sequences.rows();
        let ((dw, scratch), (dy, x, offsets)) = cpu.split((self.dw, cpu.scratch()), (self.dy, self.x, offsets(shape.sequences)));
        let bounds = Bounds::new(shape.sequences, offsets);
        let (outputs, inputs) = (dy.len() / rows, x.len() / rows);
        let left = Left { data: dy, row_stride: 1, k_stride: outputs };
        gemm(dw, outputs, shape.kernel * inputs, rows, left, windows(shape, bounds, x, inputs), accumulate, scratch);
    }
}
