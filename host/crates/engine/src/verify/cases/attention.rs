//! Attention, causal and not, of equal and of ragged sequences.

use crate::backend::{AttentionShape, Backend};
use crate::memory::Act;
use crate::ops::{Attention, AttentionBackward, CachedAttention};

use super::{CaseSequences, narrow, widen};
use crate::verify::harness::{Case, CaseBuffers, CaseSpans, Data, Slope, Tolerance, normal, random, stored, unset};
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

/// `[batch, seq, heads, kv_heads, width]`: a key head for all, for three and for two heads, around a block of queries.
const GROUPED: [[usize; 5]; 4] = [[1, 1, 2, 1, 3], [2, 7, 6, 2, 5], [1, 65, 9, 3, 64], [2, 129, 4, 2, 80]];

/// `[queries, tokens]`, `[heads, kv_heads]` and width: one query at the start and far behind it, where a cache is one piece, two and many, and does
/// not end with one; parts of a prompt at its start and behind it, around a block of queries; the heads of SmolLM2 and of Qwen3.
const CACHED: [([usize; 2], [usize; 2], usize); 11] = [
    ([1, 1], [4, 2], 6),
    ([1, 511], [9, 3], 64),
    ([1, 513], [9, 3], 64),
    ([1, 2050], [16, 8], 128),
    ([1, 700], [4, 4], 33),
    ([2, 2], [2, 1], 3),
    ([7, 7], [4, 2], 33),
    ([3, 10], [4, 2], 16),
    ([64, 128], [9, 3], 64),
    ([130, 777], [3, 1], 24),
    ([256, 1024], [4, 2], 128),
];

/// Scores of a few units, whose rounding the exponential turns into relative error; outputs are means of values near 1.
const ATTENTION: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-5 };

/// dk and dv add up over all later tokens, of each query head that shares them.
fn backward_tolerance(seq: usize) -> Tolerance {
    Tolerance { absolute: 1e-5 + 2e-7 * seq as f64, relative: 1e-5 }
}

/// Outputs in half precision, near 1, lose 2⁻¹² in the mean: what a score's gradient loses by it is multiplied by keys or queries of up to 3.5, and added
/// up over as many probabilities as sum to a few.
const HALF_OUTPUTS: f64 = 2e-3;

/// Rows of each sequence: single ones, none, around one block of queries, more than two.
const RAGGED: [&[usize]; 3] = [&[1], &[5, 1, 0, 130, 64, 0], &[65, 2, 63, 1]];

pub fn rows<B: Backend + 'static>() -> Vec<Case<B>> {
    let mut rows = Vec::new();
    for (i, [batch, seq, heads, width]) in SHAPES.into_iter().enumerate() {
        let of = Sizes { sequences: CaseSequences::equal(batch, seq), heads, kv_heads: heads, width, causal: true };
        rows.extend(Act::ALL.iter().flat_map(|&act| [attention(&of, act), attention_backward(&of, act)]));
        rows.push(cached_attention([1, seq], [heads, heads], width, Act::F32));
        // The longest is for the blocks alone, which both kinds have.
        if i + 1 < SHAPES.len() {
            let of = Sizes { causal: false, ..of };
            rows.extend(Act::ALL.iter().flat_map(|&act| [attention(&of, act), attention_backward(&of, act)]));
        }
    }
    for lengths in RAGGED {
        for (heads, width, causal) in [(2, 8, false), (1, 33, false), (3, 5, true)] {
            let of = Sizes { sequences: CaseSequences::ragged(lengths), heads, kv_heads: heads, width, causal };
            rows.extend(Act::ALL.iter().flat_map(|&act| [attention(&of, act), attention_backward(&of, act)]));
        }
    }
    for [batch, seq, heads, kv_heads, width] in GROUPED {
        let of = Sizes { sequences: CaseSequences::equal(batch, seq), heads, kv_heads, width, causal: true };
        for of in [of.clone(), Sizes { causal: false, ..of }] {
            rows.extend(Act::ALL.iter().flat_map(|&act| [attention(&of, act), attention_backward(&of, act)]));
        }
    }
    for lengths in RAGGED {
        let of = Sizes { sequences: CaseSequences::ragged(lengths), heads: 6, kv_heads: 2, width: 5, causal: true };
        rows.extend([attention(&of, Act::F32), attention_backward(&of, Act::F32)]);
    }
    for (shape, heads, width) in CACHED {
        rows.extend(Act::ALL.iter().map(|&act| cached_attention(shape, heads, width, act)));
    }
    // Frames of a text-to-speech model in training.
    let sequences = CaseSequences::ragged(&[300, 450, 620, 380, 710, 540, 390, 610]);
    let of = Sizes { sequences, heads: 2, kv_heads: 2, width: 128, causal: false };
    rows.extend([attention(&of, Act::F32), attention_backward(&of, Act::F32)].map(Case::only_for_speed));
    rows
}

#[derive(Clone)]
struct Sizes {
    sequences: CaseSequences,
    heads: usize,
    kv_heads: usize,
    width: usize,
    causal: bool,
}

impl Sizes {
    fn shape(&self, s: &CaseSpans, offsets: usize) -> AttentionShape {
        AttentionShape {
            sequences: self.sequences.at(s, offsets),
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.width,
            causal: self.causal,
        }
    }

    fn heads(&self) -> AttentionSizes {
        AttentionSizes {
            offsets: self.sequences.offsets(),
            heads: self.heads,
            kv_heads: self.kv_heads,
            width: self.width,
            causal: self.causal,
        }
    }

    fn name(&self) -> String {
        let heads = if self.kv_heads == self.heads { String::new() } else { format!(" over {}", self.kv_heads) };
        format!("[{}, {}{heads} × {}]{}", self.sequences, self.heads, self.width, if self.causal { "" } else { " all" })
    }

    fn len(&self) -> usize {
        self.sequences.rows() * self.heads * self.width
    }

    fn key_len(&self) -> usize {
        self.sequences.rows() * self.kv_heads * self.width
    }

    /// The multiply-adds of `products` products of queries and the keys that they see, each once.
    fn flops(&self, products: usize) -> usize {
        let pairs = |n: usize| if self.causal { n * (n + 1) / 2 } else { n * n };
        2 * products * self.heads * self.width * self.sequences.lengths().into_iter().map(pairs).sum::<usize>()
    }
}

fn attention<B: Backend>(of: &Sizes, act: Act) -> Case<B> {
    let (of, n, m, heads) = (of.clone(), of.len(), of.key_len(), of.heads());
    let (name, flops) = (of.name(), of.flops(2));
    let rows = of.sequences.rows() * of.heads;
    let buffers = vec![unset(n), unset(rows), random(n, 1), random(m, 2), random(m, 3), Data::U32(of.sequences.offsets())];
    let op = move |s: &CaseSpans| Attention { out: s.a(0), lse: s.f(1), q: s.a(2), k: s.a(3), v: s.a(4), shape: of.shape(s, 5) };
    let reference = move |v: &mut CaseBuffers| {
        let (out, lse) = reference::attention(v.f(2), v.f(3), v.f(4), &heads);
        v.set(0, out);
        v.set(1, lse);
    };
    Case::new(name, buffers, op, reference, ATTENTION).flops(flops).in_form(act, &[0, 2, 3, 4])
}

fn attention_backward<B: Backend>(of: &Sizes, act: Act) -> Case<B> {
    let (of, n, m, heads) = (of.clone(), of.len(), of.key_len(), of.heads());
    let (name, flops, tolerance) =
        (of.name(), of.flops(5), backward_tolerance(of.sequences.lengths().into_iter().max().expect("a length") * of.heads / of.kv_heads));
    let [q, k, v] = [(n, 1), (m, 2), (m, 3)].map(|(len, seed)| stored(act, normal(len, seed)));
    let (out, lse) = reference::attention(&widen(&q), &widen(&k), &widen(&v), &heads);
    let mut buffers = vec![unset(n), unset(m), unset(m), random(n, 4), narrow(&out), narrow(&lse)];
    buffers.extend([q, k, v].map(Data::F32));
    buffers.push(Data::U32(of.sequences.offsets()));
    let op = move |s: &CaseSpans| AttentionBackward {
        dq: s.f(0),
        dk: s.f(1),
        dv: s.f(2),
        d_out: s.f(3),
        out: s.a(4),
        lse: s.f(5),
        q: s.a(6),
        k: s.a(7),
        v: s.a(8),
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
        .in_form(act, &[4, 6, 7, 8])
        .off_by(if act == Act::F16 { HALF_OUTPUTS } else { 0.0 })
}

/// The last queries of a sequence; a cache holds one.
fn cached_attention<B: Backend>([rows, tokens]: [usize; 2], [heads, kv_heads]: [usize; 2], width: usize, act: Act) -> Case<B> {
    let of = Sizes { sequences: CaseSequences::equal(1, tokens), heads, kv_heads, width, causal: true };
    let (name, shape) = (format!("[{rows}] of {}", of.name()), of.heads());
    let (n, keys, earlier) = (rows * heads * width, of.key_len(), (tokens - rows) * heads * width);
    let buffers = vec![unset(n), random(n, 1), random(keys, 2), random(keys, 3)];
    let op = move |s: &CaseSpans| CachedAttention { out: s.f(0), q: s.f(1), k: s.a(2), v: s.a(3), heads, kv_heads, head_dim: width };
    let reference = move |v: &mut CaseBuffers| {
        let q = [vec![0.0; earlier], v.f(1).to_vec()].concat();
        v.set(0, reference::attention(&q, v.f(2), v.f(3), &shape).0.split_off(earlier));
    };
    let flops = 2 * heads * width * rows * (2 * tokens - rows + 1);
    Case::new(name, buffers, op, reference, ATTENTION).flops(flops).in_form(act, &[2, 3])
}
