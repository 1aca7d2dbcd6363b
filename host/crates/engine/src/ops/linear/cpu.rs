//! The three products of a linear layer on the CPU.

use super::{Linear, LinearBackwardInput, LinearBackwardWeight};
use crate::backend::cpu::Cpu;
use crate::backend::cpu::gemm::{Left, gemm};
use crate::backend::{RunOn, Sequences};

impl RunOn<Cpu> for Linear {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { weight, rows, .. } = self;
        let (outputs, inputs) = (weight.out_features, weight.in_features);
        cpu.with_weight((self.y, self.x), &weight, None, Sequences::one(rows), |o| {
            gemm(o.y, rows, outputs, inputs, o.x.left(inputs), o.values.transposed(inputs), false, o.scratch);
        });
    }
}

impl RunOn<Cpu> for LinearBackwardInput {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { weight, rows, accumulate, .. } = self;
        let (outputs, inputs) = (weight.out_features, weight.in_features);
        cpu.with_weight((self.dx, self.dy), &weight, None, Sequences::one(rows), |o| {
            let left = Left { data: o.x, row_stride: o.x.len() / rows, k_stride: 1 };
            gemm(o.y, rows, inputs, outputs, left, o.values.plain(inputs), accumulate, o.scratch);
        });
    }
}

impl RunOn<Cpu> for LinearBackwardWeight {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { rows, accumulate, first, .. } = self;
        let ((dw, scratch), (dy, x)) = cpu.split((self.dw, cpu.scratch()), (self.dy, self.x));
        let inputs = x.len() / rows;
        let left = Left { data: &dy[first..], row_stride: 1, k_stride: dy.len() / rows };
        let outputs = dw.len() / inputs;
        gemm(dw, outputs, inputs, rows, left, x.right(inputs, 1), accumulate, scratch);
    }
}
