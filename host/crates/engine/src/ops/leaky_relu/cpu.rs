//! Leaky rectified linear units on the CPU.

use rayon::prelude::*;

use super::{LeakyRelu, LeakyReluBackward};
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::elementwise::CHUNK;

fn forward(x: f32, slope: f32) -> f32 {
    if x > 0.0 { x } else { slope * x }
}

fn leaky_relu(y: &mut [f32], x: &[f32], slope: f32) {
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = forward(x, slope));
    });
}

fn leaky_relu_in_place(x: &mut [f32], slope: f32) {
    x.par_chunks_mut(CHUNK).for_each(|x| x.iter_mut().for_each(|x| *x = forward(*x, slope)));
}

fn leaky_relu_backward(dx: &mut [f32], dy: &[f32], x: &[f32], slope: f32) {
    dx.par_chunks_mut(CHUNK).zip(dy.par_chunks(CHUNK)).zip(x.par_chunks(CHUNK)).for_each(|((dx, dy), x)| {
        for ((dx, dy), &x) in dx.iter_mut().zip(dy).zip(x) {
            *dx = dy * if x > 0.0 { 1.0 } else { slope };
        }
    });
}

fn leaky_relu_backward_in_place(dy: &mut [f32], x: &[f32], slope: f32) {
    dy.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(dy, x)| {
        for (dy, &x) in dy.iter_mut().zip(x) {
            *dy *= if x > 0.0 { 1.0 } else { slope };
        }
    });
}

impl RunOn<Cpu> for LeakyRelu {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { y, x, slope } = self;
        if y == x {
            leaky_relu_in_place(cpu.write(y), slope);
        } else {
            let ((y,), (x,)) = cpu.split((y,), (x,));
            leaky_relu(y, x, slope);
        }
    }
}

impl RunOn<Cpu> for LeakyReluBackward {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { dx, dy, x, slope } = self;
        if dx == dy {
            let ((dy,), (x,)) = cpu.split((dy,), (x,));
            leaky_relu_backward_in_place(dy, x, slope);
        } else {
            let ((dx,), (dy, x)) = cpu.split((dx,), (dy, x));
            leaky_relu_backward(dx, dy, x, slope);
        }
    }
}
