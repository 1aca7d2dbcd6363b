//! Softmax attention of one query over cached keys and values: a decoding step.

use super::sizes::WARP;
use crate::launch::{kernels, on_gpu};

/// Threads of a block, and the widest head.
const THREADS: usize = 256;
const WARPS: usize = THREADS / WARP as usize;

/// Tokens whose scores are held at a time.
const TOKENS: usize = 1024;

#[repr(C)]
struct Shared {
    scores: [f32; TOKENS],
    parts: [f32; THREADS],
    warps: [f32; WARPS],
}

on_gpu! {
    use super::common::float::exp;
    use super::common::sums::block_reduce;
    use super::common::values::Values;
    use crate::gpu::GpuFloat;
    use crate::gpu::memory::{aligned, load};
    use crate::gpu::shared::dynamic_shared_mem;
    use crate::gpu::thread::{block_idx_x, sync_threads, thread_idx_x};
    use crate::gpu::warp::warp_shuffle_xor;

    /// Threads that share a score.
    const ACROSS: usize = 8;

    /// `q · k` by the eight threads that share a score, `V` values at a time; the same in each of them.
    #[inline(always)]
    unsafe fn score<const V: usize>(q: *const f32, k: Values, dim: usize) -> f32 {
        let mut sum = 0.0;
        let mut c = thread_idx_x() as usize % ACROSS * V;
        while c < dim {
            let (q, k) = (load::<V>(q.add(c)), k.load::<V>(c));
            for i in 0..V {
                sum = q[i].mul_add(k[i], sum);
            }
            c += ACROSS * V;
        }
        let mut lanes = ACROSS as u32 / 2;
        while lanes > 0 {
            sum += f32::from_bits(warp_shuffle_xor(sum.to_bits(), lanes));
            lanes /= 2;
        }
        sum
    }

    #[inline(always)]
    fn larger(a: f32, b: f32) -> f32 {
        if b > a { b } else { a }
    }
}

kernels! {
    /// `out = softmax(q·kᵀ/√head_dim)·v`; out, q `[heads · head_dim]`, k, v `[tokens, kv_heads · head_dim]`, of which query head h reads
    /// head `h / (heads / kv_heads)`; head_dim up to 256; `halves` tells of k, v. A block takes a head: eight threads a score, then a thread a column and every
    /// 256 / head_dim-th token. Items: heads. Shared: 5,152 bytes.
    fn cached_attention(
        out: *mut f32, q: *const f32, k: *const u8, v: *const u8, halves: u32, tokens: u32, heads: u32, kv_heads: u32, head_dim: u32,
    ) for [THREADS, size_of::<Shared>(), [1, 1]] {
        let shared = dynamic_shared_mem::<Shared>();
        let (dim, tokens, thread) = (head_dim as usize, tokens as usize, thread_idx_x() as usize);
        let (stride, head) = (kv_heads as usize * dim, block_idx_x() as usize * dim);
        let key_head = (block_idx_x() / (heads / kv_heads)) as usize * dim;
        let (q, k, v) = (q.add(head), Values::of(k, halves, 0).skip(key_head), Values::of(v, halves, 1).skip(key_head));
        let vectors = dim.is_multiple_of(4) && aligned(q) && k.aligned();
        let factor = 1.0 / (dim as f32).sqrt();
        // Threads of a token, and this one's column and first token.
        let width = dim.next_power_of_two();
        let (column, group, groups) = (thread % width, thread / width, THREADS / width);
        let (mut max, mut sum, mut result) = (f32::NEG_INFINITY, 0.0, 0.0);
        let mut first = 0;
        while first < tokens {
            let count = (tokens - first).min(TOKENS);
            let mut token = thread / ACROSS;
            let mut largest = f32::NEG_INFINITY;
            // All lanes of a warp take part in the shuffles, so beyond the end they repeat the last token.
            while token < count.next_multiple_of(WARP as usize / ACROSS) {
                let k = k.skip((first + token.min(count - 1)) * stride);
                let score = if vectors { score::<4>(q, k, dim) } else { score::<1>(q, k, dim) } * factor;
                largest = larger(largest, score);
                if thread.is_multiple_of(ACROSS) && token < count {
                    (*shared).scores[token % TOKENS] = score;
                }
                token += THREADS / ACROSS;
            }
            let next = larger(max, block_reduce(largest, &raw mut (*shared).warps, larger));
            let shrink = exp(max - next);
            max = next;
            (sum, result) = (sum * shrink, result * shrink);
            // The barriers of the reduction made the scores visible; each is made a weight by one thread.
            let mut token = thread;
            while token < count {
                let weight = exp((*shared).scores[token % TOKENS] - max);
                (*shared).scores[token % TOKENS] = weight;
                sum += weight;
                token += THREADS;
            }
            sync_threads();
            if column < dim {
                let mut token = group;
                while token < count {
                    result = (*shared).scores[token % TOKENS].mul_add(v.get((first + token) * stride + column), result);
                    token += groups;
                }
            }
            sync_threads();
            first += TOKENS;
        }
        let sum = block_reduce(sum, &raw mut (*shared).warps, |a, b| a + b);
        (*shared).parts[thread % THREADS] = result;
        sync_threads();
        if thread < dim {
            let mut total = 0.0;
            for group in 0..groups {
                total += (*shared).parts[(group * width + thread) % THREADS];
            }
            *out.add(head + thread) = total / sum;
        }
    }
}
