//! Rows of a table by number on the CPU.

use rayon::prelude::*;

use super::{Gather, GatherBackward};
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::memory::Parts;

/// Columns that a task of the backward pass takes.
const COLUMNS: usize = 32;
/// Values that a task of the forward pass takes at least.
const VALUES: usize = 16 * 1024;

impl RunOn<Cpu> for Gather {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { dim, accumulate, .. } = self;
        let ((y,), (table, ids)) = cpu.split((self.y,), (self.table, self.ids));
        y.par_chunks_exact_mut(dim).zip(ids).with_min_len(VALUES.div_ceil(dim)).for_each(|(y, &id)| {
            let row = &table[id as usize * dim..][..dim];
            if accumulate {
                y.iter_mut().zip(row).for_each(|(y, x)| *y += x);
            } else {
                y.copy_from_slice(row);
            }
        });
    }
}

/// Each task walks all rows in order over its own columns.
impl RunOn<Cpu> for GatherBackward {
    fn run_on(self, cpu: &mut Cpu) {
        let dim = self.dim;
        let ((d_table,), (dy, ids)) = cpu.split((self.d_table,), (self.dy, self.ids));
        let d_table = Parts::new(d_table);
        (0..dim.div_ceil(COLUMNS)).into_par_iter().for_each(|block| {
            let start = block * COLUMNS;
            let len = COLUMNS.min(dim - start);
            for (dy, &id) in dy.chunks_exact(dim).zip(ids) {
                // SAFETY: each task writes its own columns, one row at a time.
                let row = unsafe { d_table.part(id as usize * dim + start, len) };
                row.iter_mut().zip(&dy[start..]).for_each(|(d, g)| *d += g);
            }
        });
    }
}
