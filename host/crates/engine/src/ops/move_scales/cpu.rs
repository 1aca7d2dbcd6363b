//! Moves of scales on the CPU.

use half::f16;
use primal_device::kernels::vote::TINY;
use primal_device::rules::halves::round_at_random;
use rayon::prelude::*;

use super::MoveScales;
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::blocks::MIN_ROWS;
use crate::ops::vote::cpu::divisors;

impl RunOn<Cpu> for MoveScales {
    fn run_on(self, cpu: &mut Cpu) {
        let written = (self.scales, self.row, self.column, cpu.scratch());
        let ((scales, row, column, scratch), (gradient,)) = cpu.split(written, (self.gradient,));
        let columns = column.len();
        let factor = &mut scratch[..columns];
        let mean = divisors(row, column, gradient, factor, [self.beta2, self.bias_correction], false);
        let (factor, stream, row) = (&*factor, self.key.stream(), &*row);
        let rows = scales.par_chunks_exact_mut(columns).zip(gradient.par_chunks_exact(columns)).enumerate();
        rows.with_min_len(MIN_ROWS).for_each(|(i, (scales, gradient))| {
            let row_factor = 1.0 / (row[i] / mean).max(TINY).sqrt();
            let (mut block, mut words) = (u32::MAX, [0; 4]);
            for (j, (scale, g)) in scales.iter_mut().zip(gradient).enumerate() {
                let at = i * columns + j;
                if block != (at / 4) as u32 {
                    block = (at / 4) as u32;
                    words = stream.words(block);
                }
                let normalised = g * row_factor * factor[j];
                *scale = f16::from_f32(round_at_random(scale.to_f32() - self.lr * normalised, words[at % 4]));
            }
        });
    }
}
