//! Softmax attention of one query on the CPU.

use multiversion::multiversion;
use rayon::prelude::*;

use super::CachedAttention;
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::memory::Parts;
use crate::backend::cpu::scratch::of_thread;
use crate::backend::cpu::softmax::exponentials;

const LANES: usize = 16;
/// Cached values that are worth a task of their own.
const TASK_VALUES: usize = 32 * 1024;

/// `scores[t] = q · k[t] · factor`; k has a token each `stride`.
#[multiversion(targets("x86_64+avx2+fma"))]
fn score(scores: &mut [f32], q: &[f32], k: &[f32], stride: usize, factor: f32) {
    let whole = q.len() / LANES * LANES;
    for (score, k) in scores.iter_mut().zip(k.chunks(stride)) {
        let mut sums = [0.0f32; LANES];
        for (q, k) in q[..whole].chunks_exact(LANES).zip(k[..whole].chunks_exact(LANES)) {
            for i in 0..LANES {
                sums[i] += q[i] * k[i];
            }
        }
        // In halves, as vectors add.
        let mut lanes = LANES / 2;
        while lanes > 0 {
            for i in 0..lanes {
                sums[i] += sums[i + lanes];
            }
            lanes /= 2;
        }
        let rest: f32 = q[whole..].iter().zip(&k[whole..]).map(|(q, k)| q * k).sum();
        *score = (sums[0] + rest) * factor;
    }
}

/// `out = Σ weights[t] · v[t] · factor`.
#[multiversion(targets("x86_64+avx2+fma"))]
fn mix(out: &mut [f32], weights: &[f32], v: &[f32], stride: usize, factor: f32) {
    out.fill(0.0);
    for (weight, v) in weights.iter().zip(v.chunks(stride)) {
        for (out, v) in out.iter_mut().zip(v) {
            *out += weight * v;
        }
    }
    for out in out {
        *out *= factor;
    }
}

impl RunOn<Cpu> for CachedAttention {
    fn run_on(self, cpu: &mut Cpu) {
        let heads = self.heads;
        let ((out, scratch), (q, k, v)) = cpu.split((self.out, cpu.scratch()), (self.q, self.k, self.v));
        let scratch = Parts::new(scratch);
        let (dim, tokens) = (q.len(), k.len() / q.len());
        let head_dim = dim / heads;
        let factor = 1.0 / (head_dim as f32).sqrt();
        let min_heads = TASK_VALUES.div_ceil(tokens * head_dim);
        out.par_chunks_exact_mut(head_dim).enumerate().with_min_len(min_heads).for_each(|(head, out)| {
            let first = head * head_dim;
            // SAFETY: one scratch a thread; the task does not nest.
            let scores = &mut unsafe { of_thread(&scratch) }[..tokens];
            score(scores, &q[first..][..head_dim], &k[first..], dim, factor);
            let (_, sum) = exponentials(scores);
            mix(out, scores, &v[first..], dim, 1.0 / sum);
        });
    }
}
