//! Attention, causal and not, of equal and of ragged sequences.

use crate::backend::{AttentionShape, Backend};
use crate::ops::{Attention, AttentionBackward, CachedAttention};

use super::{CaseSequences, narrow, widen};
use crate::verify::data::{Data, normal, random, unset};
use crate::verify::harness::{Case, CaseBuffers, CaseSpans, Slope, Tolerance};
use crate::verify::reference::{self, AttentionSizes, dot};

/// `[batch, seq, heads, width]`: one of each, ragged, around one and two blocks of 64 queries, realistic, and so long that blocks are smaller.
const SHAPES: [[usize; 4]; 10] = [
    [1, 1, 1, 1],
    [1, 5, 1, 3],
    [2, 7, 3, 5],
    [1, 63, 2, 16],
    [1, 65, 1, 24],
    [2, 129, 2, 8],
    [4, 128, 6, 32],
    [1, 300, 2, 64],
    [1, 512, 2, 64],
    [1, 3333, 1, 4],
];

/// Scores of a few units, whose rounding the exponential turns into relative error; outputs are means of values near 1.
const ATTENTION: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-5 };

/// dk and dv add up over all later tokens.
fn backward_tolerance(seq: usize) -> Tolerance {
    Tolerance { absolute: 1e-5 + 2e-7 * seq as f64, relative: 1e-5 }
}

/// Rows of each sequence: single ones, none, around one block of queries, more than two.
const RAGGED: [&[usize]; 3] = [&[1], &[5, 1, 0, 130, 64, 0], &[65, 2, 63, 1]];

pub fn rows<B: Backend + 'static>() -> Vec<Case<B>> {
    let mut rows = Vec::new();
    for (i, [batch, seq, heads, width]) in SHAPES.into_iter().enumerate() {
        let of = Sizes { sequences: CaseSequences::equal(batch, seq), heads, width, causal: true };
        rows.extend([attention(&of), attention_backward(&of), cached_attention(seq, heads, width)]);
        // The longest is for the blocks alone, which both kinds have.
        if i + 1 < SHAPES.len() {
            let of = Sizes { causal: false, ..of };
            rows.extend([attention(&of), attention_backward(&of)]);
        }
    }
    for lengths in RAGGED {
        for (heads, width, causal) in [(2, 8, false), (1, 33, false), (3, 5, true)] {
            let of = Sizes { sequences: CaseSequences::ragged(lengths), heads, width, causal };
            rows.extend([attention(&of), attention_backward(&of)]);
        }
    }
    // Frames of a text-to-speech model in training.
    let sequences = CaseSequences::ragged(&[300, 450, 620, 380, 710, 540, 390, 610]);
    let of = Sizes { sequences, heads: 2, width: 128, causal: false };
    rows.extend([attention(&of), attention_backward(&of)].map(Case::only_for_speed));
    rows
}

#[derive(Clone)]
struct Sizes {
    sequences: CaseSequences,
    heads: usize,
    width: usize,
    causal: bool,
}

impl Sizes {
    fn shape(&self, s: &CaseSpans, offsets: usize) -> AttentionShape {
        AttentionShape { sequences: self.sequences.at(s, offsets), heads: self.heads, head_dim: self.width, causal: self.causal }
    }

    fn heads(&self) -> AttentionSizes {
        AttentionSizes { offsets: self.sequences.offsets(), heads: self.heads, width: self.width, causal: self.causal }
    }

    fn name(&self) -> String {
        format!("[{}, {} × {}]{}", self.sequences, self.heads, self.width, if self.causal { "" } else { " all" })
    }

    fn len(&self) -> usize {
        self.sequences.rows() * self.heads * self.width
    }

    /// The multiply-adds of `products` products of queries and the keys that they see, each once.
    fn flops(&self, products: usize) -> usize {
        let pairs = |n: usize| if self.causal { n * (n + 1) / 2 } else { n * n };
        2 * products * self.heads * self.width * self.sequences.lengths().into_iter().map(pairs).sum::<usize>()
    }
}

fn attention<B: Backend>(of: &Sizes) -> Case<B> {
    let (of, n, heads) = (of.clone(), of.len(), of.heads());
    let (name, flops) = (of.name(), of.flops(2));
    let rows = of.sequences.rows() * of.heads;
    let buffers = vec![unset(n), unset(rows), random(n, 1), random(n, 2), random(n, 3), Data::U32(of.sequences.offsets())];
    let op = move |s: &CaseSpans| Attention { out: s.f(0), lse: s.f(1), q: s.f(2), k: s.f(3), v: s.f(4), shape: of.shape(s, 5) };
    let reference = move |v: &mut CaseBuffers| {
        let (out, lse) = reference::attention(v.f(2), v.f(3), v.f(4), &heads);
        v.set(0, out);
        v.set(1, lse);
    };
    Case::new(name, buffers, op, reference, ATTENTION).flops(flops)
}

fn attention_backward<B: Backend>(of: &Sizes) -> Case<B> {
    let (of, n, heads) = (of.clone(), of.len(), of.heads());
    let (name, flops, tolerance) =
        (of.name(), of.flops(5), backward_tolerance(of.sequences.lengths().into_iter().max().expect("a length")));
    let [q, k, v] = [1, 2, 3].map(|seed| normal(n, seed));
    let (out, lse) = reference::attention(&widen(&q), &widen(&k), &widen(&v), &heads);
    let mut buffers = vec![unset(n), unset(n), unset(n), random(n, 4), narrow(&out), narrow(&lse)];
    buffers.extend([q, k, v].map(Data::F32));
    buffers.push(Data::U32(of.sequences.offsets()));
    let op = move |s: &CaseSpans| AttentionBackward {
        dq: s.f(0),
        dk: s.f(1),
        dv: s.f(2),
        d_out: s.f(3),
        out: s.f(4),
        lse: s.f(5),
        q: s.f(6),
        k: s.f(7),
        v: s.f(8),
        shape: of.shape(s, 9),
    };
    let loss_heads = heads.clone();
    let reference = move |v: &mut CaseBuffers| {
        let gradients = reference::attention_backward(v.f(3), v.f(6), v.f(7), v.f(8), &heads);
        for (i, gradient) in gradients.into_iter().enumerate() {
            v.set(i, gradient);
        }
    };
    let loss = move |v: &CaseBuffers| dot(v.f(3), &reference::attention(v.f(6), v.f(7), v.f(8), &loss_heads).0);
    Case::new(name, buffers, op, reference, tolerance)
        .gradient(&[Slope::Overwrites(6, 0), Slope::Overwrites(7, 1), Slope::Overwrites(8, 2)], loss)
        .flops(flops)
}

/// The last query of a sequence; a cache holds one.
fn cached_attention<B: Backend>(seq: usize, heads: usize, width: usize) -> Case<B> {
    let of = Sizes { sequences: CaseSequences::equal(1, seq), heads, width, causal: true };
    let (n, dim, shape) = (of.len(), heads * width, of.heads());
    let buffers = vec![unset(dim), random(dim, 1), random(n, 2), random(n, 3)];
    let op = move |s: &CaseSpans| CachedAttention { out: s.f(0), q: s.f(1), k: s.f(2), v: s.f(3), heads };
    let reference = move |v: &mut CaseBuffers| {
        let earlier = n - dim;
        let q = [vec![0.0; earlier], v.f(1).to_vec()].concat();
        v.set(0, reference::attention(&q, v.f(2), v.f(3), &shape).0.split_off(earlier));
    };
    Case::new(of.name(), buffers, op, reference, ATTENTION).flops(4 * n)
}
