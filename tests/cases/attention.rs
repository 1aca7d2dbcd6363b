//! Causal attention.

use primal_host::backend::{AttentionShape, Backend, Sequences};

use super::{narrow, widen};
use crate::harness::{Case, Data, Slope, Spans, Tolerance, Values, normal, random, unset};
use crate::reference::{self, Heads, dot};

/// `[batch, seq, heads, width]`: one of each, ragged, around one and two blocks of 64 queries, realistic, and so long that blocks are smaller.
const SHAPES: [[usize; 4]; 9] = [
    [1, 1, 1, 1],
    [1, 5, 1, 3],
    [2, 7, 3, 5],
    [1, 63, 2, 16],
    [1, 65, 1, 24],
    [2, 129, 2, 8],
    [4, 128, 6, 32],
    [1, 300, 2, 64],
    [1, 3333, 1, 4],
];

/// Scores of a few units, whose rounding the exponential turns into relative error; outputs are means of values near 1.
const ATTENTION: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-5 };

/// dk and dv add up over all later tokens.
fn backward_tolerance(seq: usize) -> Tolerance {
    Tolerance { absolute: 1e-5 + 2e-7 * seq as f64, relative: 1e-5 }
}

pub fn rows<B: Backend + 'static>() -> Vec<Case<B>> {
    SHAPES
        .into_iter()
        .flat_map(|[batch, seq, heads, width]| {
            let shape = Heads { batch, seq, heads, width };
            [attention(shape), attention_backward(shape), cached_attention(shape)]
        })
        .collect()
}

fn device_shape(shape: Heads) -> AttentionShape {
    AttentionShape {
        sequences: Sequences::Equal { count: shape.batch, len: shape.seq },
        heads: shape.heads,
        head_dim: shape.width,
        causal: true,
    }
}

fn name(shape: Heads) -> String {
    format!("[{} × {}, {} × {}]", shape.batch, shape.seq, shape.heads, shape.width)
}

fn len(shape: Heads) -> usize {
    shape.batch * shape.seq * shape.heads * shape.width
}

/// The multiply-adds below the diagonal of `products` square products, each once.
fn flops(shape: Heads, products: usize) -> usize {
    products * shape.batch * shape.heads * shape.seq * (shape.seq + 1) * shape.width
}

fn attention<B: Backend>(shape: Heads) -> Case<B> {
    let n = len(shape);
    let buffers = vec![unset(n), unset(shape.batch * shape.heads * shape.seq), random(n, 1), random(n, 2), random(n, 3)];
    let run = move |b: &mut B, s: &Spans| b.attention(s.f(0), s.f(1), s.f(2), s.f(3), s.f(4), device_shape(shape));
    let reference = move |v: &mut Values| {
        let (out, lse) = reference::attention(v.f(2), v.f(3), v.f(4), shape);
        v.set(0, out);
        v.set(1, lse);
    };
    Case::new("attention", name(shape), buffers, run, reference, ATTENTION).flops(flops(shape, 2))
}

fn attention_backward<B: Backend>(shape: Heads) -> Case<B> {
    let n = len(shape);
    let [q, k, v] = [1, 2, 3].map(|seed| normal(n, seed));
    let (out, lse) = reference::attention(&widen(&q), &widen(&k), &widen(&v), shape);
    let buffers = vec![unset(n), unset(n), unset(n), random(n, 4), narrow(&out), narrow(&lse), Data::F32(q), Data::F32(k), Data::F32(v)];
    let run = move |b: &mut B, s: &Spans| {
        b.attention_backward(s.f(0), s.f(1), s.f(2), s.f(3), s.f(4), s.f(5), s.f(6), s.f(7), s.f(8), device_shape(shape));
    };
    let reference = move |v: &mut Values| {
        let gradients = reference::attention_backward(v.f(3), v.f(6), v.f(7), v.f(8), shape);
        for (i, gradient) in gradients.into_iter().enumerate() {
            v.set(i, gradient);
        }
    };
    let loss = move |v: &Values| dot(v.f(3), &reference::attention(v.f(6), v.f(7), v.f(8), shape).0);
    Case::new("attention_backward", name(shape), buffers, run, reference, backward_tolerance(shape.seq))
        .gradient(&[Slope::Overwrites(6, 0), Slope::Overwrites(7, 1), Slope::Overwrites(8, 2)], loss)
        .flops(flops(shape, 5))
}

/// The last query of a sequence; a cache holds one.
fn cached_attention<B: Backend>(shape: Heads) -> Case<B> {
    let shape = Heads { batch: 1, ..shape };
    let (n, dim) = (len(shape), shape.heads * shape.width);
    let buffers = vec![unset(dim), random(dim, 1), random(n, 2), random(n, 3)];
    let run = move |b: &mut B, s: &Spans| b.cached_attention(s.f(0), s.f(1), s.f(2), s.f(3), shape.heads);
    let reference = move |v: &mut Values| {
        let earlier = n - dim;
        let q = [vec![0.0; earlier], v.f(1).to_vec()].concat();
        v.set(0, reference::attention(&q, v.f(2), v.f(3), shape).0.split_off(earlier));
    };
    Case::new("cached_attention", name(shape), buffers, run, reference, ATTENTION).flops(4 * n)
}
