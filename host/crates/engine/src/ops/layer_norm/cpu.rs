//! Layer normalisation over rows on the CPU.

use multiversion::multiversion;
use primal_device::kernels::layer_norm::EPS;

use super::{LayerNorm, LayerNormBackward};
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::activations::for_each_unit;
use crate::backend::cpu::memory::Parts;
use crate::backend::cpu::norm::{LANES, ROWS, add_up_rows, lanes_sum};

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn forward_row(y: &mut [f32], x: &[f32], gamma: &[f32], beta: &[f32]) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = lanes_sum(x, |x| x) / n;
    let variance = lanes_sum(x, |x| (x - mean) * (x - mean)) / n;
    let rstd = 1.0 / (variance + EPS).sqrt();
    for (((y, x), g), b) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
        *y = (x - mean) * rstd * g + b;
    }
    (mean, rstd)
}

impl RunOn<Cpu> for LayerNorm {
    fn run_on(self, cpu: &mut Cpu) {
        let dim = self.dim;
        let written = (self.y, self.mean, self.rstd, cpu.scratch());
        let ((y, mean, rstd, scratch), (x, gamma, beta)) = cpu.split(written, (self.x, self.gamma, self.beta));
        let (mean, rstd) = (Parts::new(mean), Parts::new(rstd));
        for_each_unit(y, [x], scratch, [dim, ROWS], |row, y, [x]| {
            // SAFETY: each row belongs to one task.
            let kept = unsafe { [mean.part(row, 1), rstd.part(row, 1)] };
            (kept[0][0], kept[1][0]) = forward_row(y, x, gamma, beta);
        });
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
#[expect(clippy::too_many_arguments, reason = "all operands of a row")]
fn backward_row(dx: &mut [f32], d_gamma: &mut [f32], d_beta: &mut [f32], dy: &[f32], x: &[f32], mean: f32, rstd: f32, gamma: &[f32]) {
    let n = x.len();
    let (dy, x, gamma) = (&dy[..n], &x[..n], &gamma[..n]);
    let (mut plain, mut by_x) = ([0.0f32; LANES], [0.0f32; LANES]);
    for i in 0..n / LANES * LANES {
        let g = dy[i] * gamma[i];
        plain[i % LANES] += g;
        by_x[i % LANES] += g * (x[i] - mean) * rstd;
    }
    for i in n / LANES * LANES..n {
        let g = dy[i] * gamma[i];
        plain[0] += g;
        by_x[0] += g * (x[i] - mean) * rstd;
    }
    let (plain, by_x) = (plain.iter().sum::<f32>() / n as f32, by_x.iter().sum::<f32>() / n as f32);
    for ((((dx, d_gamma), d_beta), (dy, x)), gamma) in dx.iter_mut().zip(d_gamma).zip(d_beta).zip(dy.iter().zip(x)).zip(gamma) {
        let normed = (x - mean) * rstd;
        *d_gamma += dy * normed;
        *d_beta += dy;
        *dx += rstd * (dy * gamma - plain - normed * by_x);
    }
}

impl RunOn<Cpu> for LayerNormBackward {
    fn run_on(self, cpu: &mut Cpu) {
        let dim = self.dim;
        let written = (self.dx, self.d_gamma, self.d_beta, cpu.scratch());
        let ((dx, d_gamma, d_beta, scratch), (dy, x, mean, rstd, gamma)) =
            cpu.split(written, (self.dy, self.x, self.mean, self.rstd, self.gamma));
        let (rows, dx) = (dx.len() / dim, Parts::new(dx));
        let (buffers, scratch) = scratch.split_at_mut(rayon::current_num_threads() * dim);
        let buffers = Parts::new(buffers);
        add_up_rows(rows, [d_gamma, d_beta], scratch, |row, [d_gamma, d_beta]| {
            // SAFETY: each row belongs to one task, each buffer to one thread.
            let (dx, buffer) = unsafe { (dx.part(row * dim, dim), buffers.part(rayon::current_thread_index().unwrap_or(0) * dim, dim)) };
            let x = x.widened(row * dim, dim, buffer);
            backward_row(dx, d_gamma, d_beta, &dy[row * dim..][..dim], x, mean[row], rstd[row], gamma);
        });
    }
}
