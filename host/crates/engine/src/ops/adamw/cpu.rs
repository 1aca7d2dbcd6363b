//! AdamW on the CPU.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{AdamW, AdamWStep};
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::elementwise::CHUNK;

/// What all elements of a step share.
#[derive(Clone, Copy)]
struct Factors {
    gradient: f32,
    rate: f32,
    keep: f32,
    second: f32,
    step: AdamWStep,
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn chunk(value: &mut [f32], gradient: &[f32], m: &mut [f32], v: &mut [f32], f: Factors) {
    let AdamWStep { beta1, beta2, eps, floor, .. } = f.step;
    for (((value, g), m), v) in value.iter_mut().zip(gradient).zip(m).zip(v) {
        let g = g * f.gradient;
        *m = beta1 * *m + (1.0 - beta1) * g;
        *v = beta2 * *v + (1.0 - beta2) * g * g;
        let next = *value * f.keep - f.rate * *m / ((*v * f.second).sqrt() + eps);
        // The floor must not hide an infinite moment.
        *value = if (next < floor) & (next > f32::NEG_INFINITY) { floor } else { next };
    }
}

impl RunOn<Cpu> for AdamW {
    fn run_on(self, cpu: &mut Cpu) {
        let step = self.step;
        let ((value, m, v), (gradient, norm_squared)) = cpu.split((self.value, self.m, self.v), (self.gradient, self.norm_squared));
        let norm_squared = norm_squared[0];
        if !norm_squared.is_finite() {
            return;
        }
        let norm = norm_squared.sqrt();
        let [rate, keep, second] = step.factors();
        let f = Factors { gradient: if norm > step.max_norm { step.max_norm / norm } else { 1.0 }, rate, keep, second, step };
        let moments = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
        value.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(moments).for_each(|((value, g), (m, v))| chunk(value, g, m, v, f));
    }
}
