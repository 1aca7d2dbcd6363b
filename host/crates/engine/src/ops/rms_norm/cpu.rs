//! Root mean square normalisation over rows on the CPU.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{RmsNorm, RmsNormBackward};
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::memory::Parts;
use crate::backend::cpu::norm::{LANES, ROWS, add_up_rows, lanes_sum};

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn forward_row(y: &mut [f32], x: &[f32], gamma: &[f32], eps: f32) -> f32 {
    let rstd = 1.0 / (lanes_sum(x, |x| x * x) / x.len() as f32 + eps).sqrt();
    for ((y, x), g) in y.iter_mut().zip(x).zip(gamma) {
        *y = x * rstd * g;
    }
    rstd
}

impl RunOn<Cpu> for RmsNorm {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { eps, dim, .. } = self;
        let ((y, rstd), (x, gamma)) = cpu.split((self.y, self.rstd), (self.x, self.gamma));
        let rows = y.par_chunks_exact_mut(dim).zip(x.par_chunks_exact(dim)).zip(rstd);
        rows.with_min_len(ROWS).for_each(|((y, x), rstd)| *rstd = forward_row(y, x, gamma, eps));
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn backward_row(dx: &mut [f32], d_gamma: &mut [f32], dy: &[f32], x: &[f32], rstd: f32, gamma: &[f32]) {
    let n = x.len();
    let (dy, x, gamma) = (&dy[..n], &x[..n], &gamma[..n]);
    let whole = n / LANES * LANES;
    let mut by_x = [0.0f32; LANES];
    for i in 0..whole {
        by_x[i % LANES] += dy[i] * gamma[i] * x[i] * rstd;
    }
    for i in whole..n {
        by_x[0] += dy[i] * gamma[i] * x[i] * rstd;
    }
    let by_x = by_x.iter().sum::<f32>() / n as f32;
    for (((dx, d_gamma), (dy, x)), gamma) in dx.iter_mut().zip(d_gamma).zip(dy.iter().zip(x)).zip(gamma) {
        let normed = x * rstd;
        *d_gamma += dy * normed;
        *dx += rstd * (dy * gamma - normed * by_x);
    }
}

impl RunOn<Cpu> for RmsNormBackward {
    fn run_on(self, cpu: &mut Cpu) {
        let dim = self.dim;
        let ((dx, d_gamma, scratch), (dy, x, rstd, gamma)) =
            cpu.split((self.dx, self.d_gamma, cpu.scratch()), (self.dy, self.x, self.rstd, self.gamma));
        let (rows, dx) = (dx.len() / dim, Parts::new(dx));
        add_up_rows(rows, [d_gamma], scratch, |row, [d_gamma]| {
            // SAFETY: each row belongs to one task.
            let dx = unsafe { dx.part(row * dim, dim) };
            backward_row(dx, d_gamma, &dy[row * dim..][..dim], &x[row * dim..][..dim], rstd[row], gamma);
        });
    }
}
