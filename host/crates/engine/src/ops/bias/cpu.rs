//! Biases and their gradient on the CPU.

use primal_device::kernels::bias_backward::GROUP;
use rayon::prelude::*;

use super::{Bias, BiasBackward};
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::activations::for_each_unit;
use crate::backend::cpu::elementwise::CHUNK;

/// Columns that a task takes.
const COLUMNS: usize = 32;
/// Rows that are summed before their sum is added to the total, so that rounding grows with the root of what a single sum would have.
const ROWS: usize = GROUP as usize;

impl RunOn<Cpu> for Bias {
    fn run_on(self, cpu: &mut Cpu) {
        let ((y, scratch), (bias,)) = cpu.split((self.y, cpu.scratch()), (self.bias,));
        let dim = bias.len();
        assert!(dim > 0 && y.len().is_multiple_of(dim), "a bias of {dim} on {} values", y.len());
        for_each_unit(y, [], scratch, [dim, CHUNK.div_ceil(dim)], |_, y, []| y.iter_mut().zip(bias).for_each(|(y, b)| *y += b));
    }
}

impl RunOn<Cpu> for BiasBackward {
    fn run_on(self, cpu: &mut Cpu) {
        let ((d_bias,), (dy,)) = cpu.split((self.d_bias,), (self.dy,));
        let dim = d_bias.len();
        d_bias.par_chunks_mut(COLUMNS).enumerate().for_each(|(block, d_bias)| {
            let mut total = [0.0f32; COLUMNS];
            for rows in dy.chunks(ROWS * dim) {
                let mut sums = [0.0f32; COLUMNS];
                for dy in rows.chunks_exact(dim) {
                    let dy = &dy[block * COLUMNS..][..d_bias.len()];
                    sums.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
                }
                total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
            }
            d_bias.iter_mut().zip(total).for_each(|(d, total)| *d += total);
        });
    }
}
