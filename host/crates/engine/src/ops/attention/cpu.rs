//! Softmax attention on the CPU, a block of queries at a time.

use std::ops::Range;

use multiversion::multiversion;
use rayon::prelude::*;

use super::{Attention, AttentionBackward};
use crate::backend::cpu::Cpu;
use crate::backend::cpu::activations::{ActivationColumns, ActivationRows, Values, ValuesParts};
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

/// Where a head's values lie in a matrix of tokens.
#[derive(Clone, Copy)]
struct Columns {
    /// Offset of the first.
    offset: usize,
    /// From token to token.
    stride: usize,
}

impl Columns {
    /// Of head `head` in `[rows, dim]`, from row `row` on.
    fn new(dim: usize, head_dim: usize, row: usize, head: usize) -> Self {
        Self { offset: row * dim + head * head_dim, stride: dim }
    }

    /// As a left operand.
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

/// One query head of one sequence, with the key head that it reads.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Head {
    /// Queries.
    len: usize,
    /// Keys.
    keys: usize,
    /// Whether query i sees only the keys up to `keys - len + i`.
    causal: bool,
    /// Width.
    dim: usize,
    query: Columns,
    key: Columns,
    /// Offset of its first log-sum-exp.
    lse: usize,
}

impl Head {
    /// Head `head` of sequence `sequence`.
    fn new(shape: &AttentionShape, bounds: &Bounds, sequence: usize, head: usize) -> Self {
        let (rows, dim) = (bounds.range(sequence), shape.head_dim);
        Self {
            len: rows.len(),
            keys: rows.len(),
            causal: shape.causal,
            dim,
            query: Columns::new(shape.dim(), dim, rows.start, head),
            key: Columns::new(shape.kv_dim(), dim, rows.start, head / shape.group()),
            lse: rows.start * shape.heads + head * rows.len(),
        }
    }

    /// Head `head` of the last rows of a sequence, whose keys are all in a cache.
    pub(in crate::ops) fn of_cache([len, keys]: [usize; 2], [heads, kv_heads]: [usize; 2], dim: usize, head: usize) -> Self {
        let query = Columns::new(heads * dim, dim, 0, head);
        let key = Columns::new(kv_heads * dim, dim, 0, head / (heads / kv_heads));
        Self { len, keys, causal: true, dim, query, key, lse: 0 }
    }

    /// Keys that the queries before `end` see.
    fn seen(&self, end: usize) -> usize {
        if self.causal { self.keys - self.len + end } else { self.keys }
    }

    /// A block of queries: what comes out, and, if wanted, its log-sum-exps.
    ///
    /// # Safety
    /// The block's rows of the head's columns in `out`, and its part of `lse`, are this task's alone.
    pub(in crate::ops) unsafe fn attend(
        &self,
        out: &ValuesParts,
        lse: Option<&Parts<f32>>,
        [q, k, v]: [Values; 3],
        block: Range<usize>,
        scratch: &mut [f32],
    ) {
        let (dim, rows, keys) = (self.dim, block.len(), self.seen(block.end));
        let factor = 1.0 / (dim as f32).sqrt();
        let (gemm_scratch, scores) = scratch.split_at_mut(TILE_SCRATCH + rows * beside(out, dim));
        let scores = &mut scores[..rows * keys];
        // SAFETY: `scores` is rows × keys.
        unsafe {
            let (left, right) = (self.query.left(q, block.start), self.key.transposed(k));
            tile(scores.as_mut_ptr(), keys, at(rows, keys, dim), left, right, false, gemm_scratch);
        }
        for (row, query) in scores.chunks_exact_mut(keys).zip(block.clone()) {
            let (seen, masked) = row.split_at_mut(self.seen(query + 1));
            masked.fill(0.0);
            scale(seen, factor);
            let (max, sum) = exponentials(seen);
            scale(seen, 1.0 / sum);
            if let Some(lse) = lse {
                // SAFETY: by the caller's contract.
                let lse = unsafe { lse.part(self.lse + query, 1) };
                lse[0] = max + sum.ln();
            }
        }
        let left = Left { data: scores, row_stride: keys, k_stride: 1 };
        let start = self.query.offset + block.start * self.query.stride;
        // SAFETY: by the caller's contract.
        unsafe { out.tile(start, self.query.stride, at(rows, dim, keys), left, self.key.plain(v, 0), false, gemm_scratch) };
    }
}

/// Values of a query that are in scratch before they are stored in half precision.
fn beside(out: &ValuesParts, dim: usize) -> usize {
    if matches!(out, ValuesParts::F16(_)) { dim } else { 0 }
}

/// Queries of a block of [`Head::attend`] over so many keys.
pub(in crate::ops) fn queries_of_block(out: &ValuesParts, keys: usize, dim: usize) -> usize {
    block_queries(keys, keys + beside(out, dim))
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
fn require_sizes(shape: &AttentionShape, of_queries: &[usize], of_keys: &[usize], lse: &[f32]) {
    let values = |dim: usize| shape.tokens().checked_mul(dim).expect("an attention of that size");
    let (queries, keys) = (values(shape.dim()), values(shape.kv_dim()));
    assert!(of_queries.iter().all(|&len| len == queries), "outputs of an attention of {queries} values");
    assert!(of_keys.iter().all(|&len| len == keys), "keys of an attention of {keys} values");
    assert_eq!(lse.len(), shape.tokens() * shape.heads, "log-sum-exps of an attention");
}

impl RunOn<Cpu> for Attention {
    fn run_on(self, cpu: &mut Cpu) {
        let shape = self.shape;
        let read = (self.q, self.k, self.v, offsets(shape.sequences));
        let ((out, lse, scratch), (q, k, v, offsets)) = cpu.split((self.out, self.lse, cpu.scratch()), read);
        require_sizes(&shape, &[out.len(), q.len()], &[k.len(), v.len()], lse);
        let (bounds, scratch) = (Bounds::new(shape.sequences, offsets), Parts::new(scratch));
        let (out, lse) = (out.parts(), Parts::new(lse));
        let queries = queries_of_block(&out, bounds.longest(), shape.head_dim);
        let blocks = bounds.longest().div_ceil(queries);
        (0..bounds.count() * shape.heads * blocks).into_par_iter().for_each(|task| {
            // Long blocks first within a head, for balance.
            let (index, block) = (task / blocks, blocks - 1 - task % blocks);
            let head = Head::new(&shape, &bounds, index / shape.heads, index % shape.heads);
            let first = block * queries;
            if first < head.len {
                // SAFETY: one scratch a thread; the task does not nest; the block's rows of `out` and `lse` are this task's alone.
                unsafe { head.attend(&out, Some(&lse), [q, k, v], first..head.len.min(first + queries), of_thread(&scratch)) };
            }
        });
    }
}

/// Key heads in parallel; the query heads of each, and their blocks of queries, in order.
impl RunOn<Cpu> for AttentionBackward {
    fn run_on(self, cpu: &mut Cpu) {
        let (shape, group) = (self.shape, self.shape.group());
        let read = (self.d_out, self.out, self.lse, self.q, self.k, self.v, offsets(shape.sequences));
        let ((dq, dk, dv, scratch), (d_out, out, lse, q, k, v, offsets)) = cpu.split((self.dq, self.dk, self.dv, cpu.scratch()), read);
        require_sizes(&shape, &[dq.len()], &[dk.len(), dv.len()], lse);
        let (bounds, scratch) = (Bounds::new(shape.sequences, offsets), Parts::new(scratch));
        let factor = 1.0 / (shape.head_dim as f32).sqrt();
        let queries = block_queries(bounds.longest(), 2 * bounds.longest());
        let (dq, dk, dv) = (Parts::new(dq), Parts::new(dk), Parts::new(dv));
        (0..bounds.count() * shape.kv_heads).into_par_iter().with_max_len(1).for_each(|index| {
            // SAFETY: one scratch a thread; the task does not nest.
            let (gemm_scratch, buffers) = unsafe { of_thread(&scratch) }.split_at_mut(TILE_SCRATCH);
            let (p_buffer, ds_buffer) = buffers.split_at_mut(queries * bounds.longest());
            for member in 0..group {
                let head = Head::new(&shape, &bounds, index / shape.kv_heads, index % shape.kv_heads * group + member);
                // Blocks from the end: the group's first one visits all keys, so it overwrites dk and dv, and the others add.
                for block in (0..head.len.div_ceil(queries)).rev() {
                    let first = block * queries;
                    let rows = queries.min(head.len - first);
                    let keys = head.seen(first + rows);
                    let accumulate = member > 0 || first + rows < head.len;
                    let (p, ds) = (&mut p_buffer[..rows * keys], &mut ds_buffer[..rows * keys]);
                    let Head { query, key, dim, .. } = head;
                    // SAFETY: both buffers are rows × keys; this head's columns of dq, and its key head's of dk and dv, are this task's alone.
                    unsafe {
                        tile(p.as_mut_ptr(), keys, at(rows, keys, dim), query.left(q, first), key.transposed(k), false, gemm_scratch);
                        tile(ds.as_mut_ptr(), keys, at(rows, keys, dim), query.left(d_out, first), key.transposed(v), false, gemm_scratch);
                        for (i, (p, ds)) in p.chunks_exact_mut(keys).zip(ds.chunks_exact_mut(keys)).enumerate() {
                            let start = query.offset + (first + i) * query.stride;
                            let delta = out.dot(start, &d_out[start..][..dim]);
                            let seen = head.seen(first + i + 1);
                            probabilities(&mut p[..seen], factor, lse[head.lse + first + i]);
                            score_gradients(&mut ds[..seen], &p[..seen], delta, factor);
                            p[seen..].fill(0.0);
                            ds[seen..].fill(0.0);
                        }
                        let (p, ds) = (&*p, &*ds);
                        let by_key = |data| Left { data, row_stride: 1, k_stride: keys };
                        let by_query = Left { data: ds, row_stride: keys, k_stride: 1 };
                        let of_keys = at(keys, dim, rows);
                        let dv = dv.base().add(key.offset);
                        tile(dv, key.stride, of_keys, by_key(p), query.plain(d_out, first), accumulate, gemm_scratch);
                        let dk = dk.base().add(key.offset);
                        tile(dk, key.stride, of_keys, by_key(ds), query.plain(q, first), accumulate, gemm_scratch);
                        let dq = dq.base().add(query.offset + first * query.stride);
                        tile(dq, query.stride, at(rows, dim, keys), by_query, key.plain(k, 0), false, gemm_scratch);
                    }
                }
            }
        });
    }
}
