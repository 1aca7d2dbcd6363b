//! Token and position embeddings on the CPU.

use rayon::prelude::*;

use super::{Embedding, EmbeddingBackward};
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::activations::for_each_unit;
use crate::backend::cpu::memory::Parts;

/// Columns that a task of the backward pass takes.
const COLUMNS: usize = 32;

impl RunOn<Cpu> for Embedding {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { seq, dim, .. } = self;
        let ((y, scratch), (table, positions, ids)) = cpu.split((self.y, cpu.scratch()), (self.table, self.positions, self.ids));
        for_each_unit(y, [], scratch, [dim, 64], |row, y, []| {
            let token = &table[ids[row] as usize * dim..][..dim];
            let position = &positions[row % seq * dim..][..dim];
            for ((y, t), p) in y.iter_mut().zip(token).zip(position) {
                *y = t + p;
            }
        });
    }
}

/// Each task walks all tokens in order over its own columns.
impl RunOn<Cpu> for EmbeddingBackward {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { seq, dim, .. } = self;
        let ((d_table, d_positions), (dy, ids)) = cpu.split((self.d_table, self.d_positions), (self.dy, self.ids));
        let (d_table, d_positions) = (Parts::new(d_table), Parts::new(d_positions));
        (0..dim.div_ceil(COLUMNS)).into_par_iter().for_each(|block| {
            let start = block * COLUMNS;
            let len = COLUMNS.min(dim - start);
            for (row, (dy, &id)) in dy.chunks_exact(dim).zip(ids).enumerate() {
                // SAFETY: each task writes its own columns, one row at a time.
                let rows = unsafe { [d_table.part(id as usize * dim + start, len), d_positions.part(row % seq * dim + start, len)] };
                for target in rows {
                    for (d, g) in target.iter_mut().zip(&dy[start..]) {
                        *d += g;
                    }
                }
            }
        });
    }
}
