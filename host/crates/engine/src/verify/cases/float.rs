//! Embeddings, norms, activations, losses, sums, AdamW.

use crate::backend::Backend;
use crate::memory::Act;
use crate::ops::{
    AbsoluteError, AdamW, AdamWStep, Add, Bias, Convert, CrossEntropy, Embedding, EmbeddingBackward, ErfGelu, Gather, GatherBackward, Gelu,
    GeluBackward, LayerNorm, LayerNormBackward, LeakyRelu, LeakyReluBackward, RmsNorm, RmsNormBackward, SquaredError, Sum, SumSquares,
    Tanh, TanhBackward, by_id,
};

use super::linear::{store, target};
use super::{EXACT, EXPONENTIAL, ROUNDING, narrow, sum_of, widen};
use crate::verify::harness::{Case, CaseBuffers, CaseSpans, Data, Slope, Tolerance, below, between, normal, random, stored, unset};
use crate::verify::reference::{self, dot};

/// One, odd, a vector's width and its neighbours, more than one task.
const LENGTHS: [usize; 6] = [1, 7, 16, 257, 16_385, 1 << 20];

pub fn rows<B: Backend + 'static>() -> Vec<Case<B>> {
    let mut rows = Vec::new();
    for len in LENGTHS {
        rows.extend([copy(len), zero(len)]);
        for &act in Act::ALL {
            rows.extend([add(len, false).in_form(act, &[0, 1, 2]), add(len, true).in_form(act, &[0, 1]), gelu(len).in_form(act, &[0, 1])]);
            rows.extend([false, true].map(|in_place| gelu_backward(len, in_place).in_form(act, &[2])));
            rows.push(sum(len).in_form(act, &[1]));
            rows.extend([convert(len).in_form(act, &[0]), convert(len).in_form(act, &[1])]);
        }
        for in_place in [false, true] {
            rows.push(erf_gelu(len, in_place));
            rows.extend([0.1, 0.0].map(|slope| leaky_relu(len, slope, in_place)));
            rows.extend([leaky_relu_backward(len, in_place), tanh(len, in_place), tanh_backward(len, in_place)]);
        }
        rows.extend([sum_squares(len), adamw(len, 1, f32::INFINITY), adamw(len, 1000, 1.0)]);
    }
    for [vocab, tokens, seq, dim] in [[1, 1, 1, 1], [11, 21, 7, 5], [50, 30, 10, 33], [256, 1024, 128, 192]] {
        rows.extend(Act::ALL.iter().map(|&act| embedding(vocab, tokens, seq, dim).in_form(act, &[0])));
        rows.push(embedding_backward(vocab, tokens, seq, dim));
    }
    for [entries, tokens, dim] in [[1, 1, 1], [11, 21, 5], [50, 3, 33], [600, 4000, 64]] {
        rows.extend([false, true].map(|accumulate| gather(entries, tokens, dim, accumulate)));
        rows.push(gather_backward(entries, tokens, dim));
    }
    for [tokens, dim] in [[1, 1], [5, 3], [9, 17], [33, 80], [6000, 80]] {
        rows.extend([absolute_error(tokens, dim), squared_error(tokens, dim)]);
    }
    for [tokens, dim] in [[1, 1], [3, 7], [65, 16], [130, 33], [1024, 192], [100, 768]] {
        rows.extend(
            Act::ALL.iter().flat_map(|&act| [layer_norm(tokens, dim).in_form(act, &[0, 3]), layer_norm_backward(tokens, dim, act)]),
        );
        // As at the end of a stack.
        rows.push(layer_norm(tokens, dim).in_form(Act::F16, &[3]));
        rows.extend([rms_norm(tokens, dim), rms_norm_backward(tokens, dim)]);
        rows.extend(Act::ALL.iter().map(|&act| bias(tokens, dim).in_form(act, &[0])));
    }
    // Heads of tokens, which Qwen3 normalises.
    for [rows_of_heads, head_dim] in [[9 * 130, 64], [16 * 65, 128]] {
        rows.extend([rms_norm(rows_of_heads, head_dim), rms_norm_backward(rows_of_heads, head_dim)]);
    }
    for [tokens, vocab] in [[1, 1], [5, 3], [9, 17], [33, 256], [512, 256], [7, 5003], [3, 50_257]] {
        rows.push(cross_entropy(tokens, vocab, vocab));
    }
    for [tokens, vocab, stride] in [[3, 5, 8], [9, 17, 64], [7, 1026, 1088], [3, 50_257, 50_304]] {
        rows.push(cross_entropy(tokens, vocab, stride));
    }
    rows
}

fn copy<B: Backend>(len: usize) -> Case<B> {
    let run = |b: &mut B, s: &CaseSpans| b.copy(s.f(0), s.f(1));
    Case::of_memory("copy", format!("[{len}]"), vec![unset(len), random(len, 1)], run, |v| v.set(0, v.f(1).to_vec()), EXACT)
}

fn convert<B: Backend>(len: usize) -> Case<B> {
    let op = |s: &CaseSpans| Convert { y: s.a(0), x: s.a(1) };
    Case::new(format!("[{len}]"), vec![unset(len), random(len, 1)], op, |v: &mut CaseBuffers| v.set(0, v.f(1).to_vec()), EXACT)
}

fn bias<B: Backend>(rows: usize, dim: usize) -> Case<B> {
    let reference = move |v: &mut CaseBuffers| v.add(0, reference::bias(v.f(1), rows));
    let op = |s: &CaseSpans| Bias { y: s.a(0), bias: s.f(1) };
    Case::new(format!("[{rows}, {dim}]"), vec![random(rows * dim, 1), random(dim, 2)], op, reference, ROUNDING)
}

fn zero<B: Backend>(len: usize) -> Case<B> {
    let run = |b: &mut B, s: &CaseSpans| b.zero(s.f(0));
    Case::of_memory("zero", format!("[{len}]"), vec![unset(len)], run, move |v| v.set(0, vec![0.0; len]), EXACT)
}

fn add<B: Backend>(len: usize, in_place: bool) -> Case<B> {
    if in_place {
        let sum = |v: &mut CaseBuffers| v.add(0, v.f(1).to_vec());
        let buffers = vec![random(len, 1), random(len, 2)];
        Case::new(format!("[{len}] in place"), buffers, |s: &CaseSpans| Add { y: s.a(0), a: s.a(0), b: s.a(1) }, sum, ROUNDING)
    } else {
        let buffers = vec![unset(len), random(len, 1), random(len, 2)];
        let sum = |v: &mut CaseBuffers| v.set(0, v.f(1).iter().zip(v.f(2)).map(|(a, b)| a + b).collect());
        Case::new(format!("[{len}]"), buffers, |s: &CaseSpans| Add { y: s.a(0), a: s.a(1), b: s.a(2) }, sum, ROUNDING)
    }
}

/// Inputs from the flat left through the bend to the straight right.
fn gelu_input(len: usize) -> Data {
    Data::F32(between(-9.0, 9.0, len, 3))
}

fn gelu<B: Backend>(len: usize) -> Case<B> {
    let reference = |v: &mut CaseBuffers| v.set(0, v.f(1).iter().map(|&x| reference::gelu(x)).collect());
    Case::new(format!("[{len}]"), vec![unset(len), gelu_input(len)], |s: &CaseSpans| Gelu { y: s.a(0), x: s.a(1) }, reference, EXPONENTIAL)
}

fn gelu_backward<B: Backend>(len: usize, in_place: bool) -> Case<B> {
    let (first, shape) = if in_place { (1, format!("[{len}] in place")) } else { (0, format!("[{len}]")) };
    // In place, the first buffer is a bystander.
    let buffers = vec![unset(len), random(len, 1), gelu_input(len)];
    let op = move |s: &CaseSpans| GeluBackward { dx: s.f(first), dy: s.f(1), x: s.a(2) };
    let reference = move |v: &mut CaseBuffers| {
        v.set(first, v.f(1).iter().zip(v.f(2)).map(|(dy, &x)| dy * reference::gelu_slope(x)).collect());
    };
    let loss = |v: &CaseBuffers| v.f(1).iter().zip(v.f(2)).map(|(dy, &x)| dy * reference::gelu(x)).sum();
    Case::new(shape, buffers, op, reference, EXPONENTIAL).gradient(&[Slope::Overwrites(2, first)], loss)
}

fn erf_gelu<B: Backend>(len: usize, in_place: bool) -> Case<B> {
    let (y, what) = if in_place { (1, " in place") } else { (0, "") };
    let reference = move |v: &mut CaseBuffers| v.set(y, v.f(1).iter().map(|&x| reference::erf_gelu(x)).collect());
    let op = move |s: &CaseSpans| ErfGelu { y: s.f(y), x: s.f(1) };
    Case::new(format!("[{len}]{what}"), vec![unset(len), gelu_input(len)], op, reference, EXPONENTIAL)
}

/// Values that no difference takes across 0, where slopes jump.
fn off_zero(len: usize, seed: u64) -> Vec<f32> {
    normal(len, seed).iter().map(|x| x + 0.01f32.copysign(*x)).collect()
}

fn leaky_relu<B: Backend>(len: usize, slope: f32, in_place: bool) -> Case<B> {
    let (y, what) = if in_place { (1, " in place") } else { (0, "") };
    let op = move |s: &CaseSpans| LeakyRelu { y: s.f(y), x: s.f(1), slope };
    let reference = move |v: &mut CaseBuffers| v.set(y, v.f(1).iter().map(|&x| reference::leaky_relu(x, f64::from(slope))).collect());
    let buffers = vec![unset(len), random(len, 3)];
    Case::new(format!("[{len}] slope {slope}{what}"), buffers, op, reference, ROUNDING)
}

fn leaky_relu_backward<B: Backend>(len: usize, in_place: bool) -> Case<B> {
    const SLOPE: f32 = 0.2;
    let (dx, what) = if in_place { (1, " in place") } else { (0, "") };
    let buffers = vec![unset(len), random(len, 1), Data::F32(off_zero(len, 3))];
    let op = move |s: &CaseSpans| LeakyReluBackward { dx: s.f(dx), dy: s.f(1), x: s.f(2), slope: SLOPE };
    let reference = move |v: &mut CaseBuffers| {
        let slope = |x: f64| if x > 0.0 { 1.0 } else { f64::from(SLOPE) };
        v.set(dx, v.f(1).iter().zip(v.f(2)).map(|(dy, &x)| dy * slope(x)).collect());
    };
    let loss = |v: &CaseBuffers| v.f(1).iter().zip(v.f(2)).map(|(dy, &x)| dy * reference::leaky_relu(x, f64::from(SLOPE))).sum();
    Case::new(format!("[{len}]{what}"), buffers, op, reference, ROUNDING).gradient(&[Slope::Overwrites(2, dx)], loss)
}

fn tanh<B: Backend>(len: usize, in_place: bool) -> Case<B> {
    let (y, what) = if in_place { (1, " in place") } else { (0, "") };
    let op = move |s: &CaseSpans| Tanh { y: s.f(y), x: s.f(1) };
    let reference = move |v: &mut CaseBuffers| v.set(y, v.f(1).iter().map(|x| x.tanh()).collect());
    // From one flat end to the other.
    let buffers = vec![unset(len), Data::F32(between(-12.0, 12.0, len, 3))];
    Case::new(format!("[{len}]{what}"), buffers, op, reference, EXPONENTIAL)
}

fn tanh_backward<B: Backend>(len: usize, in_place: bool) -> Case<B> {
    let (dx, what) = if in_place { (1, " in place") } else { (0, "") };
    let x = normal(len, 3);
    let y: Vec<f64> = x.iter().map(|&x| f64::from(x).tanh()).collect();
    // The op reads y; the gradient mode moves x.
    let buffers = vec![unset(len), random(len, 1), narrow(&y), Data::F32(x)];
    let op = move |s: &CaseSpans| TanhBackward { dx: s.f(dx), dy: s.f(1), y: s.f(2) };
    let reference = move |v: &mut CaseBuffers| v.set(dx, v.f(1).iter().zip(v.f(2)).map(|(dy, y)| dy * (1.0 - y * y)).collect());
    let loss = |v: &CaseBuffers| v.f(1).iter().zip(v.f(3)).map(|(dy, x)| dy * x.tanh()).sum();
    Case::new(format!("[{len}]{what}"), buffers, op, reference, ROUNDING).gradient(&[Slope::Overwrites(3, dx)], loss)
}

fn gather<B: Backend>(entries: usize, tokens: usize, dim: usize, accumulate: bool) -> Case<B> {
    let buffers = vec![target(tokens * dim, accumulate), random(entries * dim, 1), Data::U32(below(entries, tokens, 3))];
    let op = move |s: &CaseSpans| Gather { y: s.f(0), table: s.f(1), ids: s.u(2), dim, accumulate };
    let reference = move |v: &mut CaseBuffers| store(v, accumulate, reference::gather(v.f(1), v.u(2), dim));
    let shape = format!("{entries} entries, [{tokens}, {dim}]{}", if accumulate { ", adding" } else { "" });
    Case::new(shape, buffers, op, reference, if accumulate { ROUNDING } else { EXACT })
}

fn gather_backward<B: Backend>(entries: usize, tokens: usize, dim: usize) -> Case<B> {
    // The op does not read the table; the gradient mode moves it.
    let buffers = vec![random(entries * dim, 1), random(tokens * dim, 2), Data::U32(below(entries, tokens, 3)), random(entries * dim, 4)];
    let op = move |s: &CaseSpans| GatherBackward { d_table: s.f(0), dy: s.f(1), ids: s.u(2), dim };
    let reference = move |v: &mut CaseBuffers| v.add(0, reference::gather_backward(v.f(1), v.u(2), [entries, dim]));
    let loss = move |v: &CaseBuffers| dot(v.f(1), &reference::gather(v.f(3), v.u(2), dim));
    let most = 8 * tokens.div_ceil(entries);
    Case::new(format!("{entries} entries, [{tokens}, {dim}]"), buffers, op, reference, sum_of(most, 1.0))
        .gradient(&[Slope::Adds(3, 0)], loss)
}

/// Scales the gradients of the two errors.
const ERROR_SCALE: f32 = 0.5;

fn absolute_error<B: Backend>(tokens: usize, dim: usize) -> Case<B> {
    let target = normal(tokens * dim, 2);
    // Every ninth value is met; the others stay away from their targets.
    let met = |i: usize| i % 9 == 4;
    let off = off_zero(tokens * dim, 1);
    let x = target.iter().zip(&off).enumerate().map(|(i, (target, off))| if met(i) { *target } else { target + off }).collect();
    let buffers = vec![unset(tokens), unset(tokens * dim), Data::F32(x), Data::F32(target)];
    let op = |s: &CaseSpans| AbsoluteError { losses: s.f(0), dx: s.f(1), x: s.f(2), target: s.f(3), gradient_scale: ERROR_SCALE };
    let reference = move |v: &mut CaseBuffers| {
        let sign = |d: f64| if d == 0.0 { 0.0 } else { d.signum() };
        let gradient = v.f(2).iter().zip(v.f(3)).map(|(x, target)| sign(x - target) * f64::from(ERROR_SCALE)).collect();
        v.set(0, reference::absolute_error(v.f(2), v.f(3), dim));
        v.set(1, gradient);
    };
    // Central differences give 0 where the target is met, as the op does.
    let loss = move |v: &CaseBuffers| reference::absolute_error(v.f(2), v.f(3), dim).iter().sum::<f64>() * f64::from(ERROR_SCALE);
    Case::new(format!("[{tokens}, {dim}]"), buffers, op, reference, sum_of(dim, 1.0)).gradient(&[Slope::Overwrites(2, 1)], loss)
}

fn squared_error<B: Backend>(tokens: usize, dim: usize) -> Case<B> {
    let buffers = vec![unset(tokens), unset(tokens * dim), random(tokens * dim, 1), random(tokens * dim, 2)];
    let op = |s: &CaseSpans| SquaredError { losses: s.f(0), dx: s.f(1), x: s.f(2), target: s.f(3), gradient_scale: ERROR_SCALE };
    let reference = move |v: &mut CaseBuffers| {
        let gradient = v.f(2).iter().zip(v.f(3)).map(|(x, target)| 2.0 * (x - target) * f64::from(ERROR_SCALE)).collect();
        v.set(0, reference::squared_error(v.f(2), v.f(3), dim));
        v.set(1, gradient);
    };
    let loss = move |v: &CaseBuffers| reference::squared_error(v.f(2), v.f(3), dim).iter().sum::<f64>() * f64::from(ERROR_SCALE);
    Case::new(format!("[{tokens}, {dim}]"), buffers, op, reference, sum_of(dim, 4.0)).gradient(&[Slope::Overwrites(2, 1)], loss)
}

fn sum<B: Backend>(len: usize) -> Case<B> {
    let reference = |v: &mut CaseBuffers| v.set(0, vec![v.f(1).iter().sum()]);
    let op = |s: &CaseSpans| Sum { sum: s.f(0), x: s.a(1) };
    // Running sums cover a few hundred terms each; √n of their errors remain.
    Case::new(format!("[{len}]"), vec![unset(1), random(len, 1)], op, reference, sum_of(256, (len as f64 / 256.0).sqrt().max(1.0)))
}

fn sum_squares<B: Backend>(len: usize) -> Case<B> {
    let reference = |v: &mut CaseBuffers| v.add(0, vec![dot(v.f(1), v.f(1))]);
    let op = |s: &CaseSpans| SumSquares { sum: s.f(0), x: s.f(1) };
    // All terms are positive: 256 roundings of a running sum, relative to it.
    let tolerance = Tolerance { absolute: 1e-6, relative: 256.0 * 6e-8 };
    Case::new(format!("[{len}]"), vec![random(1, 9), random(len, 1)], op, reference, tolerance)
}

fn adamw<B: Backend>(len: usize, t: u64, max_norm: f32) -> Case<B> {
    let step = AdamWStep { lr: 0.01, beta1: 0.9, beta2: 0.98, eps: 1e-8, weight_decay: 0.1, t, max_norm, floor: -1.5 };
    let gradient = normal(len, 2);
    let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
    let moments = if t == 1 { vec![0.0; len] } else { normal(len, 3) };
    let squares = if t == 1 { vec![0.0; len] } else { between(0.1, 2.0, len, 4) };
    let buffers = vec![random(len, 1), Data::F32(gradient), Data::F32(moments), Data::F32(squares), narrow(&[norm])];
    let op = move |s: &CaseSpans| AdamW { value: s.f(0), gradient: s.f(1), m: s.f(2), v: s.f(3), norm_squared: s.f(4), step };
    let reference = move |v: &mut CaseBuffers| {
        let [lr, beta1, beta2, eps, decay, floor] =
            [step.lr, step.beta1, step.beta2, step.eps, step.weight_decay, step.floor].map(f64::from);
        let clip = (f64::from(step.max_norm) / v.f(4)[0].sqrt()).min(1.0);
        let (mut value, mut m, mut s) = (v.f(0).to_vec(), v.f(2).to_vec(), v.f(3).to_vec());
        for i in 0..value.len() {
            let g = v.f(1)[i] * clip;
            m[i] = beta1 * m[i] + (1.0 - beta1) * g;
            s[i] = beta2 * s[i] + (1.0 - beta2) * g * g;
            let unbiased = [m[i] / (1.0 - beta1.powf(t as f64)), s[i] / (1.0 - beta2.powf(t as f64))];
            value[i] = (value[i] - lr * (unbiased[0] / (unbiased[1].sqrt() + eps) + decay * value[i])).max(floor);
        }
        v.set(0, value);
        v.set(2, m);
        v.set(3, s);
    };
    // `1 − β` loses a digit in `f32`.
    let tolerance = Tolerance { absolute: 1e-6, relative: 4e-6 };
    Case::new(format!("[{len}] step {t}, norm at most {max_norm}"), buffers, op, reference, tolerance)
}

fn embedding<B: Backend>(vocab: usize, tokens: usize, seq: usize, dim: usize) -> Case<B> {
    // The table of positions is longer than the sequence.
    let ids = Data::U32(below(vocab, tokens, 3));
    let buffers = vec![unset(tokens * dim), random(vocab * dim, 1), random((seq + 2) * dim, 2), ids];
    let op = move |s: &CaseSpans| Embedding { y: s.a(0), table: s.f(1), positions: s.f(2), ids: s.u(3), seq, dim };
    let reference = move |v: &mut CaseBuffers| v.set(0, reference::embedding(v.f(1), v.f(2), v.u(3), seq, dim));
    Case::new(format!("vocab {vocab}, [{tokens}, {dim}], seq {seq}"), buffers, op, reference, ROUNDING)
}

fn embedding_backward<B: Backend>(vocab: usize, tokens: usize, seq: usize, dim: usize) -> Case<B> {
    let (table, positions) = (vocab * dim, (seq + 2) * dim);
    let (ids, mut order) = (below(vocab, tokens, 3), vec![0; tokens]);
    by_id(&ids, &mut vec![0; vocab], &mut order);
    let buffers = vec![
        random(table, 1),
        random(positions, 2),
        random(tokens * dim, 4),
        Data::U32(ids),
        // The op does not read these; the gradient mode moves them.
        random(table, 5),
        random(positions, 6),
        Data::U32(order),
    ];
    let op =
        move |s: &CaseSpans| EmbeddingBackward { d_table: s.f(0), d_positions: s.f(1), dy: s.f(2), ids: s.u(3), order: s.u(6), seq, dim };
    let reference = move |v: &mut CaseBuffers| {
        let (d_table, d_positions) = reference::embedding_backward(v.f(2), v.u(3), [vocab, seq + 2, seq, dim]);
        v.add(0, d_table);
        v.add(1, d_positions);
    };
    let loss = move |v: &CaseBuffers| dot(v.f(2), &reference::embedding(v.f(4), v.f(5), v.u(3), seq, dim));
    let most = tokens.div_ceil(seq).max(8 * tokens.div_ceil(vocab));
    Case::new(format!("vocab {vocab}, [{tokens}, {dim}], seq {seq}"), buffers, op, reference, sum_of(most, 1.0))
        .gradient(&[Slope::Adds(4, 0), Slope::Adds(5, 1)], loss)
}

fn layer_norm<B: Backend>(tokens: usize, dim: usize) -> Case<B> {
    let buffers =
        vec![unset(tokens * dim), unset(tokens), unset(tokens), Data::F32(off_centre(tokens * dim)), random(dim, 2), random(dim, 3)];
    let op = move |s: &CaseSpans| LayerNorm { y: s.a(0), mean: s.f(1), rstd: s.f(2), x: s.a(3), gamma: s.f(4), beta: s.f(5), dim };
    let reference = |v: &mut CaseBuffers| {
        let (y, mean, rstd) = reference::layer_norm(v.f(3), v.f(4), v.f(5));
        v.set(0, y);
        v.set(1, mean);
        v.set(2, rstd);
    };
    Case::new(format!("[{tokens}, {dim}]"), buffers, op, reference, norm_tolerance(dim))
}

/// Rows whose mean is as large as their spread: a one-pass variance would show.
fn off_centre(len: usize) -> Vec<f32> {
    normal(len, 1).iter().map(|x| x + 2.0).collect()
}

/// A row of one value has variance 0 and rstd 316, which magnifies the rounding of its mean.
fn norm_tolerance(dim: usize) -> Tolerance {
    if dim < 8 { Tolerance { absolute: 1e-4, relative: 1e-5 } } else { Tolerance { absolute: 5e-6, relative: 5e-6 } }
}

fn layer_norm_backward<B: Backend>(tokens: usize, dim: usize, act: Act) -> Case<B> {
    let (x, gamma) = (stored(act, off_centre(tokens * dim)), normal(dim, 3));
    let (_, mean, rstd) = reference::layer_norm(&widen(&x), &widen(&gamma), &vec![0.0; dim]);
    let buffers = vec![
        random(tokens * dim, 4),
        random(dim, 5),
        random(dim, 6),
        random(tokens * dim, 7),
        Data::F32(x),
        narrow(&mean),
        narrow(&rstd),
        Data::F32(gamma),
        random(dim, 8),
    ];
    let op = move |s: &CaseSpans| LayerNormBackward {
        dx: s.f(0),
        d_gamma: s.f(1),
        d_beta: s.f(2),
        dy: s.f(3),
        x: s.a(4),
        mean: s.f(5),
        rstd: s.f(6),
        gamma: s.f(7),
        dim,
    };
    let reference = |v: &mut CaseBuffers| {
        let (dx, d_gamma, d_beta) = reference::layer_norm_backward(v.f(3), v.f(4), v.f(5), v.f(6), v.f(7));
        v.add(0, dx);
        v.add(1, d_gamma);
        v.add(2, d_beta);
    };
    let loss = |v: &CaseBuffers| dot(v.f(3), &reference::layer_norm(v.f(4), v.f(7), v.f(8)).0);
    let largest = rstd.iter().copied().fold(1.0, f64::max);
    // Sums over the tokens, and a normalised value whose error grows with rstd.
    let tolerance = Tolerance { absolute: sum_of(tokens, 1.0).absolute + 3e-6 * largest, relative: 1e-5 };
    Case::new(format!("[{tokens}, {dim}]"), buffers, op, reference, tolerance)
        .gradient(&[Slope::Adds(4, 0), Slope::Adds(7, 1), Slope::Adds(8, 2)], loss)
        .in_form(act, &[4])
}

/// ε of Llama 2.
const RMS_EPS: f32 = 1e-5;

fn rms_norm<B: Backend>(tokens: usize, dim: usize) -> Case<B> {
    let buffers = vec![unset(tokens * dim), unset(tokens), Data::F32(off_centre(tokens * dim)), random(dim, 2)];
    let op = move |s: &CaseSpans| RmsNorm { y: s.f(0), rstd: s.f(1), x: s.f(2), gamma: s.f(3), eps: RMS_EPS, dim };
    let reference = |v: &mut CaseBuffers| {
        let (y, rstd) = reference::rms_norm(v.f(2), v.f(3), f64::from(RMS_EPS));
        v.set(0, y);
        v.set(1, rstd);
    };
    Case::new(format!("[{tokens}, {dim}]"), buffers, op, reference, norm_tolerance(dim))
}

fn rms_norm_backward<B: Backend>(tokens: usize, dim: usize) -> Case<B> {
    let (x, gamma) = (off_centre(tokens * dim), normal(dim, 3));
    let (_, rstd) = reference::rms_norm(&widen(&x), &widen(&gamma), f64::from(RMS_EPS));
    let buffers = vec![random(tokens * dim, 4), random(dim, 5), random(tokens * dim, 6), Data::F32(x), narrow(&rstd), Data::F32(gamma)];
    let op = move |s: &CaseSpans| RmsNormBackward { dx: s.f(0), d_gamma: s.f(1), dy: s.f(2), x: s.f(3), rstd: s.f(4), gamma: s.f(5), dim };
    let reference = |v: &mut CaseBuffers| {
        let (dx, d_gamma) = reference::rms_norm_backward(v.f(2), v.f(3), v.f(4), v.f(5));
        v.add(0, dx);
        v.add(1, d_gamma);
    };
    let loss = |v: &CaseBuffers| dot(v.f(2), &reference::rms_norm(v.f(3), v.f(5), f64::from(RMS_EPS)).0);
    let largest = rstd.iter().copied().fold(1.0, f64::max);
    // Sums over the tokens, and a normalised value whose error grows with rstd.
    let tolerance = Tolerance { absolute: sum_of(tokens, 1.0).absolute + 3e-6 * largest, relative: 1e-5 };
    Case::new(format!("[{tokens}, {dim}]"), buffers, op, reference, tolerance).gradient(&[Slope::Adds(3, 0), Slope::Adds(5, 1)], loss)
}

/// Rows of logits are `stride` values apart; what is between them must stay.
fn cross_entropy<B: Backend>(tokens: usize, vocab: usize, stride: usize) -> Case<B> {
    let mut targets = below(vocab, tokens, 2);
    // Every fifth target is masked, but never the only one.
    targets.iter_mut().skip(1).step_by(5).for_each(|t| *t = u32::MAX);
    let gradient_scale = 0.5f32;
    // Logits that would overflow without subtracting the largest.
    let logits = normal(tokens * stride, 1).iter().enumerate().map(|(i, x)| 4.0 * x + 100.0 * (i / stride % 2) as f32).collect();
    let buffers = vec![Data::F32(logits), unset(tokens), Data::U32(targets)];
    let op = move |s: &CaseSpans| CrossEntropy { logits: s.f(0), losses: s.f(1), targets: s.u(2), vocab, gradient_scale };
    let used = move |v: &CaseBuffers| reference::unpadded(v.f(0), vocab, stride);
    let reference = move |v: &mut CaseBuffers| {
        let (losses, gradient) = reference::cross_entropy(&used(v), v.u(2), vocab, f64::from(gradient_scale));
        v.set(0, reference::padded(v.f(0), &gradient, vocab, stride));
        v.set(1, losses);
    };
    let loss = move |v: &CaseBuffers| {
        let (losses, _) = reference::cross_entropy(&used(v), v.u(2), vocab, 1.0);
        losses.iter().sum::<f64>() * f64::from(gradient_scale)
    };
    // A logit near 100 is rounded to 8e-6 before anything is computed with it; the op sees that too, so only its own differences count.
    let tolerance = Tolerance { absolute: 4e-6, relative: 1e-5 };
    let shape = format!("[{tokens}, {vocab} of {stride}]");
    let case = Case::new(shape, buffers, op, reference, tolerance);
    // What is between rows has no gradient.
    if vocab == stride { case.gradient(&[Slope::Overwrites(0, 0)], loss) } else { case }
}
