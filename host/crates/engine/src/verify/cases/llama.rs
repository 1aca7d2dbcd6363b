//! What Llama-like blocks have besides the linear layers and the attention of others.

use crate::backend::Backend;
use crate::ops::rope::RotaryPairs;
use crate::ops::{Rope, Swiglu, SwigluBackward};

use super::{EXPONENTIAL, ROUNDING};
use crate::verify::data::{Data, below, between, random, unset};
use crate::verify::harness::{Case, CaseBuffers, CaseSpans, Slope};
use crate::verify::reference::{self, dot};

pub fn rows<B: Backend + 'static>() -> Vec<Case<B>> {
    let mut rows = Vec::new();
    for len in [1, 7, 16, 257, 16_385] {
        rows.extend([swiglu(len, false), swiglu(len, true), swiglu_backward(len)]);
    }
    for layout in [RotaryPairs::Adjacent, RotaryPairs::Halves] {
        for inverse in [false, true] {
            for [tokens, heads, head_dim, pairs] in [[1, 1, 2, 1], [5, 3, 6, 3], [33, 9, 64, 32], [130, 3, 80, 16]] {
                rows.push(rope([tokens, heads, head_dim, pairs], layout, inverse));
            }
        }
    }
    rows
}

/// From closed through the bend to open.
fn gate(len: usize) -> Data {
    Data::F32(between(-12.0, 12.0, len, 3))
}

fn swiglu<B: Backend>(len: usize, in_place: bool) -> Case<B> {
    let (y, what) = if in_place { (1, " in place") } else { (0, "") };
    // In place, the first buffer is a bystander.
    let buffers = vec![unset(len), gate(len), random(len, 1)];
    let op = move |s: &CaseSpans| Swiglu { y: s.f(y), gate: s.f(1), up: s.f(2) };
    let reference = move |v: &mut CaseBuffers| v.set(y, reference::swiglu(v.f(1), v.f(2)));
    Case::new(format!("[{len}]{what}"), buffers, op, reference, EXPONENTIAL)
}

fn swiglu_backward<B: Backend>(len: usize) -> Case<B> {
    let buffers = vec![unset(len), unset(len), random(len, 1), gate(len), random(len, 2)];
    let op = |s: &CaseSpans| SwigluBackward { d_gate: s.f(0), d_up: s.f(1), dy: s.f(2), gate: s.f(3), up: s.f(4) };
    let reference = |v: &mut CaseBuffers| {
        let [d_gate, d_up] = reference::swiglu_backward(v.f(2), v.f(3), v.f(4));
        v.set(0, d_gate);
        v.set(1, d_up);
    };
    let loss = |v: &CaseBuffers| dot(v.f(2), &reference::swiglu(v.f(3), v.f(4)));
    Case::new(format!("[{len}]"), buffers, op, reference, EXPONENTIAL).gradient(&[Slope::Overwrites(3, 0), Slope::Overwrites(4, 1)], loss)
}

/// The gradient of a turn is the turn back of the gradient: what the gradient mode checks is that of `x` through a loss `w · rope(x)`, whose slope the op
/// writes over `w`.
fn rope<B: Backend>([tokens, heads, head_dim, pairs]: [usize; 4], layout: RotaryPairs, inverse: bool) -> Case<B> {
    const POSITIONS: usize = 50;
    let angles = between(-4.0, 4.0, POSITIONS * pairs, 5);
    let table = angles.chunks(pairs).flat_map(|row| row.iter().map(|a| a.cos()).chain(row.iter().map(|a| a.sin()))).collect();
    let len = tokens * heads * head_dim;
    let buffers = vec![random(len, 1), Data::F32(table), Data::U32(below(POSITIONS, tokens, 2)), random(len, 3)];
    let op = move |s: &CaseSpans| Rope { x: s.f(0), table: s.f(1), positions: s.u(2), head_dim, pairs, layout, inverse };
    let turned = move |v: &CaseBuffers, x: usize, inverse| {
        reference::rope(v.f(x), v.f(1), v.u(2), [heads * head_dim, head_dim, pairs], layout == RotaryPairs::Adjacent, inverse)
    };
    let reference = move |v: &mut CaseBuffers| v.set(0, turned(v, 0, inverse));
    let loss = move |v: &CaseBuffers| dot(v.f(0), &turned(v, 3, !inverse));
    let shape = format!("[{tokens}, {heads} · {head_dim}], {pairs} pairs, {layout:?}{}", if inverse { ", back" } else { "" });
    Case::new(shape, buffers, op, reference, ROUNDING).gradient(&[Slope::Overwrites(3, 0)], loss)
}
