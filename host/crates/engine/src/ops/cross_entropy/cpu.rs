//! Softmax cross entropy on the CPU.

use rayon::prelude::*;

use super::CrossEntropy;
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::softmax::{exponentials, scale};

impl RunOn<Cpu> for CrossEntropy {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { vocab, gradient_scale, .. } = self;
        let ((logits, losses), (targets,)) = cpu.split((self.logits, self.losses), (self.targets,));
        let stride = logits.len() / losses.len();
        logits.par_chunks_exact_mut(stride).zip(losses).zip(targets).with_min_len(8).for_each(|((row, loss), &target)| {
            let row = &mut row[..vocab];
            if target == u32::MAX {
                row.fill(0.0);
                *loss = 0.0;
                return;
            }
            let logit = row[target as usize];
            let (max, sum) = exponentials(row);
            *loss = sum.ln() + (max - logit);
            scale(row, gradient_scale / sum);
            row[target as usize] -= gradient_scale;
        });
    }
}
