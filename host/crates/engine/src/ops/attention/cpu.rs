//! Softmax attention on the CPU, a block of queries at a time.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{Attention, AttentionBackward};
use crate::backend::cpu::Cpu;
use crate::backend::cpu::activations::{ActivationColumns, ActivationRows, Values, ValuesMut};
use crate::backend::cpu::exp::exp;
use crate::backend::cpu::gemm::{Left, TILE_SCRATCH, Tile, tile};
use crate::backend::cpu::memory::Parts;
use crate::backend::cpu::scratch::{PER_THREAD, of_thread};
use crate::backend::cpu::sequences::{Bounds, offsets};
use crate::backend::cpu::softmax::{exponentials, scale};
use crate::backend::{AttentionShape, RunOn};

/// Queries of a block, at most.
const QUERIES: usize = 64;

/// Longest sequence: two rows of scores fit into a thread's scratch.
pub const MAX_SEQ: usize = (PER_THREAD - TILE_SCRATCH) / 2;

/// Queries of a block: fewer for a long sequence, so that so many values for each fit into a thread's scratch.
fn block_queries(seq: usize, values: usize) -> usize {
    assert!(seq <= MAX_SEQ, "attention over {seq} tokens; at most {MAX_SEQ}");
    QUERIES.min((PER_THREAD - TILE_SCRATCH) / values)
}

/// One head of one sequence.
#[derive(Clone, Copy)]
struct Head {
    /// Tokens.
    len: usize,
    /// Offset of its first value in `[rows, heads · head_dim]`.
    offset: usize,
    /// From token to token.
    stride: usize,
    /// Width.
    dim: usize,
    /// Offset of its first log-sum-exp.
    lse: usize,
}

impl Head {
    fn new(shape: &AttentionShape, bounds: &Bounds, index: usize) -> Self {
        let (sequence, head) = (bounds.range(index / shape.heads), index % shape.heads);
        let (offset, lse) = (sequence.start * shape.dim() + head * shape.head_dim, sequence.start * shape.heads + head * sequence.len());
        Self { len: sequence.len(), offset, stride: shape.dim(), dim: shape.head_dim, lse }
    }

    /// Keys that the queries before `end` see.
    fn keys(&self, shape: &AttentionShape, end: usize) -> usize {
        if shape.causal { end } else { self.len }
    }

    /// Rows of this head as a left operand.
    fn left<'a>(&self, data: impl Into<Values<'a>>, first: usize) -> ActivationRows<'a> {
        data.into().from(self.offset + first * self.stride).left(self.stride)
    }

    /// `[tokens, dim]` as the right operand: k runs over tokens.
    fn plain<'a>(&self, data: impl Into<Values<'a>>, first: usize) -> ActivationColumns<'a> {
        data.into().from(self.offset + first * self.stride).right(self.stride, 1)
    }

    /// The transpose of `[tokens, dim]` as the right operand: k runs over the width.
    fn transposed<'a>(&self, data: Values<'a>) -> ActivationColumns<'a> {
        data.from(self.offset).right(1, self.stride)
    }
}

fn at(rows: usize, columns: usize, k: usize) -> Tile {
    Tile { row: 0, rows, column: 0, columns, k }
}

/// Probabilities from raw scores and the row's log-sum-exp.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn probabilities(row: &mut [f32], factor: f32, lse: f32) {
    for x in row {
        *x = exp(*x * factor - lse);
    }
}

/// `ds = p · (dp − delta) · factor`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn score_gradients(dp: &mut [f32], p: &[f32], delta: f32, factor: f32) {
    for (d, p) in dp.iter_mut().zip(p) {
        *d = p * (*d - delta) * factor;
    }
}

/// Checks the sizes of what is written through pointers.
fn require_sizes(shape: &AttentionShape, written: &[usize], lse: &[f32]) {
    let values = shape.tokens().checked_mul(shape.dim()).expect("an attention of that size");
    assert!(written.iter().all(|&len| len == values), "outputs of an attention of {values} values");
    assert_eq!(lse.len(), shape.tokens() * shape.heads, "log-sum-exps of an attention");
}

impl RunOn<Cpu> for Attention {
    fn run_on(self, cpu: &mut Cpu) {
        let shape = self.shape;
        let read = (self.q, self.k, self.v, offsets(shape.sequences));
        let ((out, lse, scratch), (q, k, v, offsets)) = cpu.split((self.out, self.lse, cpu.scratch()), read);
        require_sizes(&shape, &[out.len()], lse);
        let (bounds, scratch) = (Bounds::new(shape.sequences, offsets), Parts::new(scratch));
        let factor = 1.0 / (shape.head_dim as f32).sqrt();
        // In half precision, a block's outputs are in scratch at first.
        let beside = if matches!(out, ValuesMut::F16(_)) { shape.head_dim } else { 0 };
        let queries = block_queries(bounds.longest(), bounds.longest() + beside);
        let blocks = bounds.longest().div_ceil(queries);
        let (out, lse) = (out.parts(), Parts::new(lse));
        (0..bounds.count() * shape.heads * blocks).into_par_iter().for_each(|task| {
            // Long blocks first within a head, for balance.
            let (index, block) = (task / blocks, blocks - 1 - task % blocks);
            let head = Head::new(&shape, &bounds, index);
            let first = block * queries;
            if first >= head.len {
                return;
            }
            let rows = queries.min(head.len - first);
            let keys = head.keys(&shape, first + rows);
            // SAFETY: one scratch a thread; the task does not nest.
            let (gemm_scratch, scores) = unsafe { of_thread(&scratch) }.split_at_mut(TILE_SCRATCH + queries * beside);
            let scores = &mut scores[..rows * keys];
            // SAFETY: `scores` is rows × keys; the block's rows of `out` and `lse` are this task's alone.
            unsafe {
                tile(scores.as_mut_ptr(), keys, at(rows, keys, head.dim), head.left(q, first), head.transposed(k), false, gemm_scratch);
                let lse = lse.part(head.lse + first, rows);
                for (i, (row, lse)) in scores.chunks_exact_mut(keys).zip(lse).enumerate() {
                    let (seen, masked) = row.split_at_mut(head.keys(&shape, first + i + 1));
                    masked.fill(0.0);
                    scale(seen, factor);
                    let (max, sum) = exponentials(seen);
                    scale(seen, 1.0 / sum);
                    *lse = max + sum.ln();
                }
                let left = Left { data: scores, row_stride: keys, k_stride: 1 };
                let start = head.offset + first * head.stride;
                out.tile(start, head.stride, at(rows, head.dim, keys), left, head.plain(v, 0), false, gemm_scratch);
            }
        });
    }
}

/// Heads in parallel, query blocks of a head in order.
impl RunOn<Cpu> for AttentionBackward {
    fn run_on(self, cpu: &mut Cpu) {
        let shape = self.shape;
        let read = (self.d_out, self.out, self.lse, self.q, self.k, self.v, offsets(shape.sequences));
        let ((dq, dk, dv, scratch), (d_out, out, lse, q, k, v, offsets)) = cpu.split((self.dq, self.dk, self.dv, cpu.scratch()), read);
        require_sizes(&shape, &[dq.len(), dk.len(), dv.len()], lse);
        let (bounds, scratch) = (Bounds::new(shape.sequences, offsets), Parts::new(scratch));
        let factor = 1.0 / (shape.head_dim as f32).sqrt();
        let queries = block_queries(bounds.longest(), 2 * bounds.longest());
        let (dq, dk, dv) = (Parts::new(dq), Parts::new(dk), Parts::new(dv));
        (0..bounds.count() * shape.heads).into_par_iter().with_max_len(1).for_each(|index| {
            let head = Head::new(&shape, &bounds, index);
            // SAFETY: one scratch a thread; the task does not nest.
            let (gemm_scratch, buffers) = unsafe { of_thread(&scratch) }.split_at_mut(TILE_SCRATCH);
            let (p_buffer, ds_buffer) = buffers.split_at_mut(queries * bounds.longest());
            // Blocks from the end: the first one visits all keys, so it overwrites dk and dv, and the others add.
            for block in (0..head.len.div_ceil(queries)).rev() {
                let first = block * queries;
                let rows = queries.min(head.len - first);
                let keys = head.keys(&shape, first + rows);
                let accumulate = first + rows < head.len;
                let (p, ds) = (&mut p_buffer[..rows * keys], &mut ds_buffer[..rows * keys]);
                // SAFETY: both buffers are rows × keys; this head's columns of dq, dk and dv are this task's alone.
                unsafe {
                    tile(p.as_mut_ptr(), keys, at(rows, keys, head.dim), head.left(q, first), head.transposed(k), false, gemm_scratch);
                    tile(ds.as_mut_ptr(), keys, at(rows, keys, head.dim), head.left(d_out, first), head.transposed(v), false, gemm_scratch);
                    for (i, (p, ds)) in p.chunks_exact_mut(keys).zip(ds.chunks_exact_mut(keys)).enumerate() {
                        let start = head.offset + (first + i) * head.stride;
                        let delta = out.dot(start, &d_out[start..][..head.dim]);
                        let seen = head.keys(&shape, first + i + 1);
                        probabilities(&mut p[..seen], factor, lse[head.lse + first + i]);
                        score_gradients(&mut ds[..seen], &p[..seen], delta, factor);
                        p[seen..].fill(0.0);
                        ds[seen..].fill(0.0);
                    }
                    let (p, ds) = (&*p, &*ds);
                    let by_key = |data| Left { data, row_stride: 1, k_stride: keys };
                    let by_query = Left { data: ds, row_stride: keys, k_stride: 1 };
                    let base = |d: &Parts<f32>, row: usize| d.base().add(head.offset + row * head.stride);
                    tile(
                        base(&dv, 0),
                        head.stride,
                        at(keys, head.dim, rows),
                        by_key(p),
                        head.plain(d_out, first),
                        accumulate,
                        gemm_scratch,
                    );
                    tile(base(&dk, 0), head.stride, at(keys, head.dim, rows), by_key(ds), head.plain(q, first), accumulate, gemm_scratch);
                    tile(base(&dq, first), head.stride, at(rows, head.dim, keys), by_query, head.plain(k, 0), false, gemm_scratch);
                }
            }
        });
    }
}
