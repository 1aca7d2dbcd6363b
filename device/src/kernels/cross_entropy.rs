//! Softmax cross entropy, loss and gradient in two passes over each row of logits.

use super::sizes::WARP;
use crate::launch::{kernels, on_gpu};

/// Threads of a block: one row.
const THREADS: usize = 256;
const WARPS: usize = THREADS / WARP as usize;

#[repr(C)]
struct Shared([f32; WARPS]);

on_gpu! {
    use super::common::float::{exp, ln};
    use super::common::sums::block_reduce;
    use crate::gpu::memory::{aligned, load, store};
    use crate::gpu::shared::dynamic_shared_mem;
    use crate::gpu::thread::{block_idx_x, thread_idx_x};

    #[inline(always)]
    fn larger(a: f32, b: f32) -> f32 {
        if b > a { b } else { a }
    }

    #[inline(always)]
    unsafe fn row<const V: usize>(x: *mut f32, target: usize, vocab: usize, gradient_scale: f32) -> f32 {
        let scratch = &raw mut (*dynamic_shared_mem::<Shared>()).0;
        let logit = *x.add(target);
        let first = thread_idx_x() as usize * V;
        // Behind the last vector: a value each for the first threads.
        let whole = vocab / V * V;
        let rest = whole + thread_idx_x() as usize;
        let (mut max, mut sum) = (f32::NEG_INFINITY, 0.0);
        let mut take = |x: &[f32]| {
            let next = x.iter().fold(max, |max, &x| larger(max, x));
            sum *= exp(max - next);
            x.iter().for_each(|x| sum += exp(x - next));
            max = next;
        };
        let mut c = first;
        while c < whole {
            take(&load::<V>(x.add(c)));
            c += THREADS * V;
        }
        if rest < vocab {
            take(&load::<1>(x.add(rest)));
        }
        let largest = block_reduce(max, scratch, larger);
        // A thread without logits has none to scale: −∞ − −∞ is NaN.
        let scaled = if sum == 0.0 { 0.0 } else { sum * exp(max - largest) };
        let total = block_reduce(scaled, scratch, |a, b| a + b);
        let factor = gradient_scale / total;
        let gradient = |logit: f32, at: usize| exp(logit - largest) * factor - if at == target { gradient_scale } else { 0.0 };
        let mut c = first;
        while c < whole {
            let logits = load::<V>(x.add(c));
            store::<V>(x.add(c), core::array::from_fn(|i| gradient(logits[i], c + i)));
            c += THREADS * V;
        }
        if rest < vocab {
            *x.add(rest) = gradient(*x.add(rest), rest);
        }
        ln(total) + (largest - logit)
    }
}

kernels! {
    /// Losses in nats to `losses`; logits become `(softmax − onehot) · gradient_scale` in place; logits `[rows, stride]`, of which the
    /// first `vocab` of each row are used, losses, targets `[rows]`. A target of `u32::MAX` is masked: loss and gradient 0. A block takes a row. Items: rows. Shared: 32 bytes.
    fn cross_entropy(logits: *mut f32, losses: *mut f32, targets: *const u32, vocab: u32, stride: u32, gradient_scale: f32)
        for [THREADS, size_of::<Shared>(), [1, 1]] {
        let (index, vocab) = (block_idx_x() as usize, vocab as usize);
        let (x, target) = (logits.add(index * stride as usize), *targets.add(index));
        let loss = if target == u32::MAX {
            let mut c = thread_idx_x() as usize;
            while c < vocab {
                *x.add(c) = 0.0;
                c += THREADS;
            }
            0.0
        } else if aligned(x) {
            row::<4>(x, target as usize, vocab, gradient_scale)
        } else {
            row::<1>(x, target as usize, vocab, gradient_scale)
        };
        if thread_idx_x() == 0 {
            *losses.add(index) = loss;
        }
    }
}
