//! The gated activation of Llama-like models (Shazeer 2020).

use super::sizes::elementwise::{COVERS, THREADS};
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::elementwise::map;
    use super::common::float::exp;

    #[inline(always)]
    fn sigmoid(x: f32) -> f32 {
        1.0 / (1.0 + exp(-x))
    }
}

kernels! {
    /// `y = gate · σ(gate) · up`, all `[n]`; y may be gate. A thread takes four elements.
    fn swiglu(y: *mut f32, gate: *const f32, up: *const f32, n: u32) for [THREADS, 0, COVERS] {
        map(y, [gate, up], n, |[gate, up]| gate * sigmoid(gate) * up);
    }

    /// `d_gate = dy · up · silu′(gate)`, all `[n]`. A thread takes four elements.
    fn swiglu_backward_gate(d_gate: *mut f32, dy: *const f32, gate: *const f32, up: *const f32, n: u32) for [THREADS, 0, COVERS] {
        map(d_gate, [dy, gate, up], n, |[dy, gate, up]| {
            let s = sigmoid(gate);
            dy * up * s * (1.0 + gate * (1.0 - s))
        });
    }

    /// `d_up = dy · silu(gate)`, all `[n]`. A thread takes four elements.
    fn swiglu_backward_up(d_up: *mut f32, dy: *const f32, gate: *const f32, n: u32) for [THREADS, 0, COVERS] {
        map(d_up, [dy, gate], n, |[dy, gate]| dy * gate * sigmoid(gate));
    }
}
