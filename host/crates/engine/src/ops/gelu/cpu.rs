//! GELU on the CPU.

use multiversion::multiversion;
use primal_device::kernels::gelu::{CUBIC, ROOT};

use super::{Gelu, GeluBackward};
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::activations::for_each_unit;
use crate::backend::cpu::elementwise::CHUNK;
use crate::backend::cpu::exp::exp;

/// `x · σ(2u)` with `u = √(2/π)(x + 0.044715x³)`, since ½(1 + tanh u) = σ(2u).
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-2.0 * ROOT * x * (1.0 + CUBIC * x * x)))
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn forward(y: &mut [f32], x: &[f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = x * sigmoid(x);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn backward(dy: &mut [f32], x: &[f32]) {
    for (d, &x) in dy.iter_mut().zip(x) {
        let s = sigmoid(x);
        *d *= s + x * s * (1.0 - s) * 2.0 * ROOT * (1.0 + 3.0 * CUBIC * x * x);
    }
}

impl RunOn<Cpu> for Gelu {
    fn run_on(self, cpu: &mut Cpu) {
        let ((y, scratch), (x,)) = cpu.split((self.y, cpu.scratch()), (self.x,));
        for_each_unit(y, [x], scratch, [CHUNK, 1], |_, y, [x]| forward(y, x));
    }
}

impl RunOn<Cpu> for GeluBackward {
    fn run_on(self, cpu: &mut Cpu) {
        cpu.start_with(self.dx, self.dy);
        let ((dx, scratch), (x,)) = cpu.split((self.dx, cpu.scratch()), (self.x,));
        for_each_unit(dx, [x], scratch, [CHUNK, 1], |_, dx, [x]| backward(dx, x));
    }
}
