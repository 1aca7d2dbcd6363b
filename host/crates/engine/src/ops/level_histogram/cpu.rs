//! How many weights are at each level, on the CPU.

use primal_device::grid;
use rayon::prelude::*;

use super::LevelHistogram;
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::blocks::MIN_ROWS;

impl RunOn<Cpu> for LevelHistogram {
    fn run_on(self, cpu: &mut Cpu) {
        let inputs = self.weight.in_features;
        let ((counts,), (codes,)) = cpu.split((self.counts,), (self.weight.grid().codes,));
        let total = codes
            .par_chunks_exact(grid::row_bytes(inputs))
            .with_min_len(MIN_ROWS)
            .fold(
                || [0u32; 16],
                |mut counts, row| {
                    grid::histogram(row, inputs, &mut counts);
                    counts
                },
            )
            .reduce(|| [0u32; 16], |a, b| std::array::from_fn(|i| a[i] + b[i]));
        counts.copy_from_slice(&total);
    }
}
