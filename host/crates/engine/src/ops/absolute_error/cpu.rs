//! Absolute error against targets on the CPU.

use multiversion::multiversion;

use super::AbsoluteError;
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::regression::{row, rows};

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn absolute_row(dx: &mut [f32], x: &[f32], target: &[f32], scale: f32) -> f32 {
    // 0 stays 0, and what is not a number is seen by who watches the gradients.
    let slope = |d: f32| {
        if d > 0.0 {
            scale
        } else if d < 0.0 {
            -scale
        } else {
            d
        }
    };
    row(dx, x, target, |d| (d.abs(), slope(d)))
}

impl RunOn<Cpu> for AbsoluteError {
    fn run_on(self, cpu: &mut Cpu) {
        let ((losses, dx), (x, target)) = cpu.split((self.losses, self.dx), (self.x, self.target));
        rows(losses, dx, x, target, |dx, x, target| absolute_row(dx, x, target, self.gradient_scale));
    }
}
