//! Sums on the CPU.

use multiversion::multiversion;
use primal_device::kernels::{reduce, sizes};
use rayon::prelude::*;

use super::{Sum, SumSquares};
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::activations::Values;

const LANES: usize = sizes::LANES as usize;
/// Chunks whose sums are taken in parallel at a time.
const CHUNKS: usize = reduce::GROUP as usize;
const CHUNK: usize = reduce::CHUNK as usize;

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn chunk_sum(x: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for x in x.chunks(LANES) {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum += x;
        }
    }
    sums.iter().sum()
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn chunk_sum_squares(x: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let whole = x.chunks_exact(LANES);
    let rest = whole.remainder();
    for x in whole {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum += x * x;
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum += x * x;
    }
    sums.iter().sum()
}

fn reduced(x: Values, of: impl Fn(&[f32]) -> f32 + Sync) -> f32 {
    let chunk = |start: usize| {
        let len = CHUNK.min(x.len() - start);
        match x {
            Values::F32(x) => of(&x[start..][..len]),
            Values::F16(_) => of(x.widened(start, len, &mut [0.0; CHUNK])),
        }
    };
    let mut total = 0.0f64;
    for first in (0..x.len()).step_by(CHUNK * CHUNKS) {
        let (mut sums, count) = ([0.0f32; CHUNKS], (x.len() - first).div_ceil(CHUNK).min(CHUNKS));
        sums[..count].par_iter_mut().enumerate().for_each(|(i, sum)| *sum = chunk(first + i * CHUNK));
        total += sums.iter().map(|&s| f64::from(s)).sum::<f64>();
    }
    total as f32
}

impl RunOn<Cpu> for Sum {
    fn run_on(self, cpu: &mut Cpu) {
        let ((sum,), (x,)) = cpu.split((self.sum,), (self.x,));
        sum[0] = reduced(x, chunk_sum);
    }
}

impl RunOn<Cpu> for SumSquares {
    fn run_on(self, cpu: &mut Cpu) {
        cpu.write(self.sum)[0] += reduced(cpu.read(self.x).into(), chunk_sum_squares);
    }
}
