//! Sums of activations on the CPU.

use super::Add;
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::activations::for_each_unit;
use crate::backend::cpu::elementwise::CHUNK;

fn add(y: &mut [f32], a: &[f32], b: &[f32]) {
    for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
        *y = a + b;
    }
}

/// `y += b`.
fn add_in_place(y: &mut [f32], b: &[f32]) {
    for (y, b) in y.iter_mut().zip(b) {
        *y += b;
    }
}

impl RunOn<Cpu> for Add {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { y, a, b } = self;
        let written = (y, cpu.scratch());
        if y == a {
            let ((y, scratch), (b,)) = cpu.split(written, (b,));
            for_each_unit(y, [b], scratch, [CHUNK, 1], |_, y, [b]| add_in_place(y, b));
        } else {
            let ((y, scratch), (a, b)) = cpu.split(written, (a, b));
            for_each_unit(y, [a, b], scratch, [CHUNK, 1], |_, y, [a, b]| add(y, a, b));
        }
    }
}
