//! Shadow weights on the CPU.

use primal_device::grid::{self, BLOCK};
use primal_device::rules::quantise;
use rayon::prelude::*;

use super::{Quantize, StraightThrough};
use crate::backend::cpu::Cpu;
use crate::backend::cpu::blocks::{Counts, MIN_ROWS, load_codes, store_codes};
use crate::backend::cpu::scaling::Scaling;
use crate::backend::cpu::unpack::Codes;
use crate::backend::{GridWeight, RunOn};

impl RunOn<Cpu> for Quantize {
    fn run_on(self, cpu: &mut Cpu) {
        let (inputs, rails) = (self.weight.in_features, self.weight.grid().rails());
        let GridWeight { grid, codes, scales } = *self.weight.grid();
        let ((codes,), (scales, shadow)) = cpu.split((codes,), (scales, self.shadow));
        let scaling = Scaling::new(scales, grid, inputs);
        let rows = codes.par_chunks_exact_mut(grid::row_bytes(inputs)).zip(shadow.par_chunks_exact(inputs));
        let counts = rows
            .enumerate()
            .with_min_len(MIN_ROWS)
            .map(|(i, (codes, shadow))| {
                let mut counts = Counts::default();
                for (block, values) in shadow.chunks(BLOCK).enumerate() {
                    let (mut code, (scale, offset)) = (load_codes(codes, block), scaling.scale(i, block * BLOCK));
                    let inverse = 1.0 / scale;
                    for (code, &value) in code.iter_mut().zip(values) {
                        let before = *code;
                        *code = quantise::quantise(grid, value - offset, inverse);
                        counts.count(rails, before, *code);
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
        let (inputs, GridWeight { grid, codes, scales }) = (self.weight.in_features, *self.weight.grid());
        let d_scale = self.d_scale.unwrap_or(cpu.scratch().slice(0, self.weight.out_features));
        let ((d_shadow, d_scale), (dw, shadow, codes, scales)) = cpu.split((self.d_shadow, d_scale), (self.dw, self.shadow, codes, scales));
        let w = Codes::new(codes, scales, grid, inputs);
        let range = grid.range();
        let rows = d_shadow
            .par_chunks_exact_mut(inputs)
            .zip(d_scale.par_iter_mut())
            .zip(dw.par_chunks_exact(inputs))
            .zip(shadow.par_chunks_exact(inputs));
        rows.enumerate().with_min_len(MIN_ROWS).for_each(|(i, (((d_shadow, d_scale), dw), shadow))| {
            let codes = &w.codes[i * w.row_bytes..][..w.row_bytes];
            let mut sum = 0.0f32;
            for (block, ((d_shadow, dw), shadow)) in d_shadow.chunks_mut(BLOCK).zip(dw.chunks(BLOCK)).zip(shadow.chunks(BLOCK)).enumerate()
            {
                let (codes, (scale, offset)) = (load_codes(codes, block), w.scaling.scale(i, block * BLOCK));
                let inverse = 1.0 / scale;
                for (j, ((d, &g), &value)) in d_shadow.iter_mut().zip(dw).zip(shadow).enumerate() {
                    let (level, at) = (grid.levels[codes[j] as usize], (value - offset) * inverse);
                    sum += quantise::straight_through(g, level, at, range, || *d += g);
                }
            }
            *d_scale += sum;
        });
    }
}
