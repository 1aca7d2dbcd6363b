//! Hyperbolic tangent on the CPU.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{Tanh, TanhBackward};
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::elementwise::CHUNK;
use crate::backend::cpu::exp::exp;

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn forward(x: &mut [f32]) {
    for x in x {
        // tanh x = 1 − 2/(e^2x + 1), good to a rounding of 1.
        *x = 1.0 - 2.0 / (exp(2.0 * *x) + 1.0);
    }
}

impl RunOn<Cpu> for Tanh {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { y, x } = self;
        if y != x {
            let ((y,), (x,)) = cpu.split((y,), (x,));
            y.copy_from_slice(x);
        }
        cpu.write(y).par_chunks_mut(CHUNK).for_each(forward);
    }
}

impl RunOn<Cpu> for TanhBackward {
    fn run_on(self, cpu: &mut Cpu) {
        let (dx, y) = cpu.in_place(self.dx, self.dy, self.y);
        dx.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(dx, y)| {
            dx.iter_mut().zip(y).for_each(|(dx, y)| *dx *= 1.0 - y * y);
        });
    }
}
