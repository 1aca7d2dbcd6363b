//! Rows of a weight by number on the CPU.

use rayon::prelude::*;

use super::Lookup;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::weight::WeightValues;
use crate::backend::{RunOn, Sequences};

impl RunOn<Cpu> for Lookup {
    fn run_on(self, cpu: &mut Cpu) {
        let dim = self.weight.in_features;
        cpu.with_weight((self.y, self.ids), &self.weight, None, Sequences::one(self.ids.len()), |o| {
            let values = o.values;
            o.y.par_chunks_exact_mut(dim).zip(o.x).for_each(|(y, &id)| {
                let row = id as usize;
                match values {
                    WeightValues::Grid(codes) => y.iter_mut().enumerate().for_each(|(column, y)| *y = codes.weight(row, column)),
                    WeightValues::Float(table) => y.copy_from_slice(&table[row * dim..][..dim]),
                    WeightValues::Blocks(blocks) => {
                        blocks.parts(row, 0, dim, |first, values| y[first..][..values.len()].copy_from_slice(values));
                    }
                }
            });
        });
    }
}
