//! Transposed convolution on the CPU, an output phase at a time: the rows of y that are `stride` apart are a plain convolution of x with every
//! `stride`-th tap, so no two tasks add to the same row.

use super::ConvTranspose1d;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::gemm::{for_each_tile, tile};
use crate::backend::cpu::memory::Parts;
use crate::backend::cpu::scratch::of_thread;
use crate::backend::cpu::sequences::Bounds;
use crate::backend::cpu::weight::{Operands, add_bias};
use crate::backend::cpu::windows::{Reversed, Windows};
use crate::backend::{RunOn, Sequences};

impl RunOn<Cpu> for ConvTranspose1d {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { y, x, weight, bias, stride } = self;
        let rows = Sequences::one(x.len() / weight.in_features);
        cpu.with_weight((y, x), &weight, bias, rows, |o| conv_transpose1d(o, [weight.out_features, weight.in_features], stride));
    }
}

fn conv_transpose1d(of: Operands, [weight_rows, inputs]: [usize; 2], stride: usize) {
    let Operands { y, x, values, bias, scratch, .. } = of;
    let rows = x.len() / inputs;
    let outputs = y.len() / (stride * rows);
    let kernel = weight_rows / outputs;
    assert!(kernel >= stride && (kernel - stride).is_multiple_of(2), "a kernel of {kernel} taps at a stride of {stride}");
    let padding = (kernel - stride) / 2;
    let taps = values.transposed(inputs);
    let (y, scratch) = (Parts::new(y), Parts::new(scratch));
    // Row s of y, with s + padding = stride · q + phase, sums taps phase + stride · j of rows q − j of x.
    for phase in 0..stride {
        let count = (kernel - phase).div_ceil(stride);
        let q = padding.saturating_sub(phase).div_ceil(stride);
        let start = stride * q + phase - padding;
        let first = q as isize + 1 - count as isize;
        let left = Windows { x, width: inputs, first, dilation: 1, bounds: Bounds::Equal { count: 1, len: rows } };
        let step = stride * outputs;
        let right = Reversed { taps, depth: inputs, first: phase * outputs + (count - 1) * step, step };
        for_each_tile(rows, outputs, count * inputs, |at| {
            if !bias.is_empty() {
                for row in at.row..at.row + at.rows {
                    // SAFETY: tiles are disjoint.
                    let y = unsafe { y.part((start + row * stride) * outputs + at.column, at.columns) };
                    add_bias(y, &bias[at.column..][..at.columns], false);
                }
            }
            // SAFETY: rows of a phase from `start` on are `stride` apart; tiles are disjoint, and each thread uses its own scratch.
            unsafe { tile(y.base().add(start * outputs + at.start(step)), step, at, left, right, !bias.is_empty(), of_thread(&scratch)) };
        });
    }
}
