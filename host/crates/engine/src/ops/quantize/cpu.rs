//! Shadow weights on the CPU.

use primal_device::grid::{self, BLOCK};
use primal_device::rules::quantise;
use rayon::prelude::*;

use super::{Quantize, StraightThrough};
use crate::backend::cpu::Cpu;
use crate::backend::cpu::blocks::{Counts, MIN_ROWS, load_codes, store_codes};
use crate::backend::cpu::unpack::Codes;
use crate::backend::{GridWeight, RunOn};

impl RunOn<Cpu> for Quantize {
    fn run_on(self, cpu: &mut Cpu) {
        let GridWeight { grid, codes, scale } = *self.weight.grid();
        let (grid, ((codes,), (scale, shadow))) = (grid, cpu.split((codes,), (scale, self.shadow)));
        let inputs = shadow.len() / scale.len();
        let rows = codes.par_chunks_exact_mut(grid::row_bytes(inputs)).zip(shadow.par_chunks_exact(inputs)).zip(scale);
        let counts = rows
            .with_min_len(MIN_ROWS)
            .map(|((codes, shadow), &scale)| {
                let mut counts = Counts::default();
                let inverse = 1.0 / scale;
                for (block, values) in shadow.chunks(BLOCK).enumerate() {
                    let mut code = load_codes(codes, block);
                    for (code, &value) in code.iter_mut().zip(values) {
                        let before = *code;
                        *code = quantise::quantise(grid, value, inverse);
                        counts.count(grid.rails(), before, *code);
                    }
                    store_codes(codes, block, &code);
                }
                counts
            })
            .reduce(Counts::default, Counts::plus);
        cpu.write(self.counts).copy_from_slice(&counts.words());
    }
}

impl RunOn<Cpu> for StraightThrough {
    fn run_on(self, cpu: &mut Cpu) {
        let GridWeight { grid, codes, scale } = *self.weight.grid();
        let ((d_shadow, d_scale), (dw, shadow, codes, scale)) =
            cpu.split((self.d_shadow, self.d_scale), (self.dw, self.shadow, codes, scale));
        let w = Codes::new(codes, scale, grid, self.weight.in_features);
        let inputs = shadow.len() / w.scale.len();
        let range = w.grid.range();
        let rows = d_shadow
            .par_chunks_exact_mut(inputs)
            .zip(d_scale.par_iter_mut())
            .zip(dw.par_chunks_exact(inputs))
            .zip(shadow.par_chunks_exact(inputs));
        rows.enumerate().with_min_len(MIN_ROWS).for_each(|(i, (((d_shadow, d_scale), dw), shadow))| {
            let codes = &w.codes[i * w.row_bytes..][..w.row_bytes];
            let inverse = 1.0 / w.scale[i];
            let mut sum = 0.0f32;
            for (block, ((d_shadow, dw), shadow)) in d_shadow.chunks_mut(BLOCK).zip(dw.chunks(BLOCK)).zip(shadow.chunks(BLOCK)).enumerate()
            {
                let codes = load_codes(codes, block);
                for (j, ((d, &g), &value)) in d_shadow.iter_mut().zip(dw).zip(shadow).enumerate() {
                    let (level, at) = (w.grid.levels[codes[j] as usize], value * inverse);
                    sum += quantise::straight_through(g, level, at, range, || *d += g);
                }
            }
            *d_scale += sum;
        });
    }
}
