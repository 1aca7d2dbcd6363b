//! The gradients of scales on the CPU.

use multiversion::multiversion;
use primal_device::grid::{BLOCK, GROUP, groups};
use rayon::prelude::*;

use super::ScaleGradient;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::blocks::{MIN_ROWS, load_codes};
use crate::backend::{GridWeight, RunOn, Scales};
use crate::memory::Span;

impl RunOn<Cpu> for ScaleGradient {
    fn run_on(self, cpu: &mut Cpu) {
        match self.d_scales {
            Scales::Row(d_scale) => self.of_rows(cpu, d_scale),
            Scales::Group32 { step } => self.of_groups(cpu, step, Part::Step),
            Scales::Group32Offset { step, offset } => {
                self.of_groups(cpu, step, Part::Step);
                self.of_groups(cpu, offset, Part::Offset);
            }
        }
    }
}

/// What of a group has the gradient.
#[derive(Clone, Copy)]
enum Part {
    Step,
    Offset,
}

impl ScaleGradient {
    fn of_rows(self, cpu: &mut Cpu, d_scale: Span<f32>) {
        let GridWeight { grid, codes, .. } = *self.weight.grid();
        let ((d_scale,), (dw, codes)) = cpu.split((d_scale,), (self.dw, codes));
        let rows = d_scale.par_iter_mut().zip(dw.par_chunks_exact(self.weight.in_features));
        let rows = rows.zip(codes.par_chunks_exact(self.weight.row_bytes()));
        rows.with_min_len(MIN_ROWS).for_each(|((slot, dw), codes)| *slot += product(dw, codes, &grid.levels));
    }

    fn of_groups(self, cpu: &mut Cpu, d_scale: Span<f32>, part: Part) {
        let GridWeight { grid, codes, .. } = *self.weight.grid();
        let factors = match part {
            Part::Step => grid.numerators(),
            Part::Offset => [1.0; 16],
        };
        let ((d_scale,), (dw, codes)) = cpu.split((d_scale,), (self.dw, codes));
        let inputs = self.weight.in_features;
        let rows = d_scale.par_chunks_exact_mut(groups(inputs)).zip(dw.par_chunks_exact(inputs));
        let rows = rows.zip(codes.par_chunks_exact(self.weight.row_bytes()));
        rows.with_min_len(MIN_ROWS).for_each(|((slots, dw), codes)| products(slots, dw, codes, &factors));
    }
}

/// `slot += Σ_j dw[j] · factor[code[j]]` of each group of a row.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn products(slots: &mut [f32], dw: &[f32], codes: &[u8], factors: &[f32; 16]) {
    for ((slot, dw), codes) in slots.iter_mut().zip(dw.chunks(GROUP)).zip(codes.chunks(GROUP / 2)) {
        *slot += sum(dw, codes, factors);
    }
}

/// `Σ_j dw[j] · factor[code[j]]` of a row.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn product(dw: &[f32], codes: &[u8], factors: &[f32; 16]) -> f32 {
    sum(dw, codes, factors)
}

#[inline(always)]
fn sum(dw: &[f32], codes: &[u8], factors: &[f32; 16]) -> f32 {
    let mut sums = [0.0f32; BLOCK];
    let whole = dw.chunks_exact(BLOCK);
    let rest = whole.remainder();
    let blocks = dw.len() / BLOCK;
    for (block, dw) in whole.enumerate() {
        let codes = load_codes(codes, block);
        for j in 0..BLOCK {
            sums[j] += dw[j] * factors[(codes[j] & 15) as usize];
        }
    }
    if !rest.is_empty() {
        let codes = load_codes(codes, blocks);
        for ((sum, &g), &code) in sums.iter_mut().zip(rest).zip(&codes) {
            *sum += g * factors[code as usize];
        }
    }
    sums.iter().sum()
}
