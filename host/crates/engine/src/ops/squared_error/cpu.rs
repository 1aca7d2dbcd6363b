//! Squared error against targets on the CPU.

use multiversion::multiversion;

use super::SquaredError;
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::regression::{row, rows};

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn squared_row(dx: &mut [f32], x: &[f32], target: &[f32], scale: f32) -> f32 {
    row(dx, x, target, |d| (d * d, 2.0 * d * scale))
}

impl RunOn<Cpu> for SquaredError {
    fn run_on(self, cpu: &mut Cpu) {
        let ((losses, dx), (x, target)) = cpu.split((self.losses, self.dx), (self.x, self.target));
        rows(losses, dx, x, target, |dx, x, target| squared_row(dx, x, target, self.gradient_scale));
    }
}
