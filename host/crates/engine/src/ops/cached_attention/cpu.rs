//! Softmax attention over cached keys and values on the CPU. One query goes along the cache, a piece of it a task, all query heads of a key head together;
//! several, and those of very wide or many heads, go through the tiles of [`Attention`](crate::ops::Attention).

use rayon::prelude::*;

use super::CachedAttention;
use super::row::{MAX_HEAD_DIM, Piece, mix, score};
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::activations::{Values, ValuesMut};
use crate::backend::cpu::exp::exp;
use crate::backend::cpu::memory::Parts;
use crate::backend::cpu::scratch::{HALF, first_half_of_thread, of_thread, second_half};
use crate::backend::cpu::softmax::exponentials;
use crate::backend::cpu::team;
use crate::ops::attention::cpu::{Head, queries_of_block};

/// Cached values that are worth a task of their own.
const TASK_VALUES: usize = 16 * 1024;
/// Tokens of a piece, at least, of a cache that has more.
const PIECE: usize = 512;

/// How a cache is cut, by its shape alone: the pieces, and the tokens of each but the last.
fn pieces(tokens: usize, heads: usize, head_dim: usize) -> [usize; 2] {
    let room = HALF / (heads * (head_dim + 2));
    let len = tokens.div_ceil(room.max(1)).max(PIECE);
    [tokens.div_ceil(len), len]
}

impl CachedAttention {
    /// Whether scratch has room for one query at a time.
    fn has_room(&self, tokens: usize) -> bool {
        let Self { heads, kv_heads, head_dim, .. } = *self;
        let [pieces, len] = pieces(tokens, heads, head_dim);
        head_dim <= MAX_HEAD_DIM && heads / kv_heads * len.min(tokens) <= HALF && heads * pieces * (head_dim + 2) <= HALF
    }

    /// One query: sums of pieces to the second half of the scratch, then their sums.
    fn run_row(self, tokens: usize, out: &mut [f32], q: &[f32], [k, v]: [Values; 2], scratch: &mut [f32]) {
        let Self { heads, kv_heads, head_dim: dim, .. } = self;
        let (group, stride, factor) = (heads / kv_heads, kv_heads * dim, 1.0 / (dim as f32).sqrt());
        let [pieces, len] = pieces(tokens, heads, dim);
        // Values of a piece of the cache: of all heads of a group their sums, then the largest score and the sum of weights of each.
        let values = group * (dim + 2);
        let scratch = Parts::new(scratch);
        let attend = |task: usize| {
            let (head, first) = (task / pieces, task % pieces * len);
            let at = Piece { dim, stride, tokens: len.min(tokens - first) };
            let from = first * stride + head * dim;
            // SAFETY: one scratch a thread, the task does not nest; a task's values in the second half are its alone.
            let (scores, sums) = unsafe { (first_half_of_thread(&scratch), second_half(&scratch, task * values, values)) };
            let scores = &mut scores[..group * at.tokens];
            let (mixed, sums) = sums.split_at_mut(group * dim);
            score(scores, &q[head * group * dim..][..group * dim], k.from(from), at, factor);
            for (scores, sums) in scores.chunks_exact_mut(at.tokens).zip(sums.chunks_exact_mut(2)) {
                let (max, sum) = exponentials(scores);
                sums.copy_from_slice(&[max, sum]);
            }
            mix(mixed, scores, v.from(from), at);
        };
        let (tasks, of_task) = (kv_heads * pieces, TASK_VALUES.div_ceil(len.min(tokens) * dim));
        team::for_each(tasks.div_ceil(of_task), |i| (i * of_task..tasks.min((i + 1) * of_task)).for_each(attend));
        for (head, out) in out.chunks_exact_mut(dim).enumerate() {
            let piece = |piece: usize| {
                // SAFETY: the tasks are over, and nothing of it is written.
                let values = unsafe { second_half(&scratch, (head / group * pieces + piece) * values, values) };
                let (mixed, sums) = values.split_at(group * dim);
                (&mixed[head % group * dim..][..dim], sums[head % group * 2], sums[head % group * 2 + 1])
            };
            let max = (0..pieces).map(|i| piece(i).1).fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = (0..pieces).map(piece).map(|(_, largest, sum)| exp(largest - max) * sum).sum();
            out.fill(0.0);
            for (mixed, largest, _) in (0..pieces).map(piece) {
                let factor = exp(largest - max) * (1.0 / sum);
                out.iter_mut().zip(mixed).for_each(|(out, x)| *out += x * factor);
            }
        }
    }
}

impl RunOn<Cpu> for CachedAttention {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { heads, kv_heads, head_dim, .. } = self;
        let shape @ [rows, tokens] = self.shape();
        let ((out, scratch), (q, k, v)) = cpu.split((self.out, cpu.scratch()), (self.q, self.k, self.v));
        if rows == 1 && self.has_room(tokens) {
            return self.run_row(tokens, out, q, [k, v], scratch);
        }
        let (out, scratch) = (ValuesMut::from(out).parts(), Parts::new(scratch));
        let queries = queries_of_block(&out, tokens, head_dim);
        let blocks = rows.div_ceil(queries);
        (0..heads * blocks).into_par_iter().for_each(|task| {
            let (head, first) = (task / blocks, task % blocks * queries);
            let head = Head::of_cache(shape, [heads, kv_heads], head_dim, head);
            // SAFETY: one scratch a thread; the task does not nest; the block's rows of the head are this task's alone.
            unsafe { head.attend(&out, None, [Values::F32(q), k, v], first..rows.min(first + queries), of_thread(&scratch)) };
        });
    }
}
