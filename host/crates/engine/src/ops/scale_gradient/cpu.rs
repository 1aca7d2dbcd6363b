//! The gradient of row scales on the CPU.

use multiversion::multiversion;
use primal_device::grid::BLOCK;
use rayon::prelude::*;

use super::ScaleGradient;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::blocks::{MIN_ROWS, load_codes};
use crate::backend::{GridWeight, RunOn};

impl RunOn<Cpu> for ScaleGradient {
    fn run_on(self, cpu: &mut Cpu) {
        let GridWeight { grid, codes, .. } = *self.weight.grid();
        let ((d_scale,), (dw, codes)) = cpu.split((self.d_scale,), (self.dw, codes));
        let row_bytes = self.weight.row_bytes();
        let inputs = dw.len() / d_scale.len();
        let rows = d_scale.par_iter_mut().zip(dw.par_chunks_exact(inputs)).zip(codes.par_chunks_exact(row_bytes));
        rows.with_min_len(MIN_ROWS).for_each(|((slot, dw), codes)| *slot += level_product(dw, codes, &grid.levels));
    }
}

/// `Σ_j dw[j] · level[code[j]]` of a row.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn level_product(dw: &[f32], codes: &[u8], levels: &[f32; 16]) -> f32 {
    let mut sums = [0.0f32; BLOCK];
    let whole = dw.chunks_exact(BLOCK);
    let rest = whole.remainder();
    let blocks = dw.len() / BLOCK;
    for (block, dw) in whole.enumerate() {
        let codes = load_codes(codes, block);
        for j in 0..BLOCK {
            sums[j] += dw[j] * levels[(codes[j] & 15) as usize];
        }
    }
    if !rest.is_empty() {
        let codes = load_codes(codes, blocks);
        for ((sum, &g), &code) in sums.iter_mut().zip(rest).zip(&codes) {
            *sum += g * levels[code as usize];
        }
    }
    sums.iter().sum()
}
