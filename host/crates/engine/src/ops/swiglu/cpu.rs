//! SwiGLU on the CPU.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{Swiglu, SwigluBackward};
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::elementwise::CHUNK;
use crate::backend::cpu::exp::exp;

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn forward(y: &mut [f32], gate: &[f32], up: &[f32]) {
    for ((y, &gate), up) in y.iter_mut().zip(gate).zip(up) {
        *y = gate * sigmoid(gate) * up;
    }
}

/// The forward pass where y holds the gate.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn forward_in_place(y: &mut [f32], up: &[f32]) {
    for (y, up) in y.iter_mut().zip(up) {
        *y = *y * sigmoid(*y) * up;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn backward(d_gate: &mut [f32], d_up: &mut [f32], dy: &[f32], gate: &[f32], up: &[f32]) {
    for (((d_gate, d_up), dy), (&gate, up)) in d_gate.iter_mut().zip(d_up).zip(dy).zip(gate.iter().zip(up)) {
        let s = sigmoid(gate);
        *d_gate = dy * up * s * (1.0 + gate * (1.0 - s));
        *d_up = dy * gate * s;
    }
}

impl RunOn<Cpu> for Swiglu {
    fn run_on(self, cpu: &mut Cpu) {
        if self.y == self.gate {
            let ((y,), (up,)) = cpu.split((self.y,), (self.up,));
            y.par_chunks_mut(CHUNK).zip(up.par_chunks(CHUNK)).for_each(|(y, up)| forward_in_place(y, up));
        } else {
            let ((y,), (gate, up)) = cpu.split((self.y,), (self.gate, self.up));
            let inputs = gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK));
            y.par_chunks_mut(CHUNK).zip(inputs).for_each(|(y, (gate, up))| forward(y, gate, up));
        }
    }
}

impl RunOn<Cpu> for SwigluBackward {
    fn run_on(self, cpu: &mut Cpu) {
        let ((d_gate, d_up), (dy, gate, up)) = cpu.split((self.d_gate, self.d_up), (self.dy, self.gate, self.up));
        let outputs = d_gate.par_chunks_mut(CHUNK).zip(d_up.par_chunks_mut(CHUNK));
        let inputs = dy.par_chunks(CHUNK).zip(gate.par_chunks(CHUNK)).zip(up.par_chunks(CHUNK));
        outputs.zip(inputs).for_each(|((d_gate, d_up), ((dy, gate), up))| backward(d_gate, d_up, dy, gate, up));
    }
}
