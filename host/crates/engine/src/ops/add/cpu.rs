//! Sums of activations on the CPU.

use rayon::prelude::*;

use super::Add;
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::elementwise::CHUNK;

fn add(y: &mut [f32], a: &[f32], b: &[f32]) {
    y.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK)).for_each(|((y, a), b)| {
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            *y = a + b;
        }
    });
}

/// `y += b`.
fn add_in_place(y: &mut [f32], b: &[f32]) {
    y.par_chunks_mut(CHUNK).zip(b.par_chunks(CHUNK)).for_each(|(y, b)| {
        for (y, b) in y.iter_mut().zip(b) {
            *y += b;
        }
    });
}

impl RunOn<Cpu> for Add {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { y, a, b } = self;
        if y == a {
            let ((y,), (b,)) = cpu.split((y,), (b,));
            add_in_place(y, b);
        } else {
            let ((y,), (a, b)) = cpu.split((y,), (a, b));
            add(y, a, b);
        }
    }
}
