//! The gradients of attention, from the kept log-sum-exp (Dao et al. 2022). See `common::heads`.
//!
//! Two kernels, each the only writer of its results: dq with queries as own rows, and dk, dv with keys.

use super::sizes::WARP;
use super::sizes::heads::{THREADS, shared_bytes};
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::heads::{Heads, LOG2_E, Mask, accumulate, across, own_row, products, put};
    use super::common::sums::warp_sum;
    use super::common::values::Values;
    use crate::gpu::GpuFloat;
    use crate::gpu::shared::dynamic_shared_mem;
    use crate::gpu::thread::{block_idx_x, sync_threads, thread_idx_x};

    /// What the backward pass reads.
    #[derive(Clone, Copy)]
    struct Kept {
        q: Values,
        k: Values,
        v: Values,
        d_out: Values,
        lse: *const f32,
        delta: *const f32,
    }

    #[inline(always)]
    fn kept([q, k, v]: [*const u8; 3], halves: u32, d_out: *const f32, lse: *const f32, delta: *const f32) -> Kept {
        let [q, k, v] = [Values::of(q, halves, 0), Values::of(k, halves, 1), Values::of(v, halves, 2)];
        Kept { q, k, v, d_out: d_out.into(), lse, delta }
    }

    /// A probability and the gradient of its raw score, of a query that sees the key; zeros else.
    #[inline(always)]
    fn score_gradient(seen: bool, score: f32, dp: f32, lse: f32, delta: f32, factor: f32) -> (f32, f32) {
        let p = (score * (factor * LOG2_E) - lse * LOG2_E).exp2();
        if seen { (p, p * (dp - delta) * factor) } else { (0.0, 0.0) }
    }

    #[inline(always)]
    unsafe fn backward_query<const D: usize, const R: usize, const C: usize, const W: usize>(
        dq: *mut f32, kept: Kept, heads: Heads, causal: bool) {
        let (own_rows, other_rows) = (16 * R as u32, 8 * C as u32);
        let queries = dynamic_shared_mem::<f32>();
        let gradients = queries.add(16 * R * (D + 4));
        let keys = gradients.add(16 * R * (D + 4));
        let values = keys.add(8 * C * (D + 4));
        let ds = values.add(8 * C * (D + 4));
        let ([head, key_head], factor) = (heads.by_query(), heads.factor());
        let mask = Mask { causal, past: 0, keys: key_head.seq };
        let Some(first) = head.own_queries(own_rows) else { return };
        head.load::<D>(queries, kept.q, first, own_rows);
        head.load::<D>(gradients, kept.d_out, first, own_rows);
        let row = first + own_row::<R>();
        let lse: [f32; R] = core::array::from_fn(|i| head.row_value(kept.lse, row + i as u32));
        let delta: [f32; R] = core::array::from_fn(|i| head.row_value(kept.delta, row + i as u32));
        let mut result = [[[0.0; 4]; W]; R];
        let (mut key, end) = (0, mask.keys_end(first + own_rows));
        while key < end {
            sync_threads();
            key_head.load::<D>(keys, kept.k, key, other_rows);
            key_head.load::<D>(values, kept.v, key, other_rows);
            sync_threads();
            let mut s = products::<D, R, C>(queries, keys, head.dim);
            let dp = products::<D, R, C>(gradients, values, head.dim);
            for i in 0..R {
                for j in 0..C {
                    let seen = key + across() + 8 * j as u32 <= mask.last_key(row + i as u32);
                    s[i][j] = score_gradient(seen, s[i][j], dp[i][j], lse[i], delta[i], factor).1;
                }
            }
            put(ds, &s);
            sync_threads();
            accumulate::<D, R, C, W>(&mut result, ds, keys, other_rows.min(mask.keys - key));
            key += other_rows;
        }
        head.store(dq.into(), first, &result, [1.0; R]);
    }

    #[inline(always)]
    unsafe fn backward_key_value<const D: usize, const R: usize, const C: usize, const W: usize>(
        dk: *mut f32,
        dv: *mut f32,
        kept: Kept,
        heads: Heads,
        causal: bool,
        member: u32,
    ) {
        let (own_rows, other_rows) = (16 * R as u32, 8 * C as u32);
        let keys = dynamic_shared_mem::<f32>();
        let values = keys.add(16 * R * (D + 4));
        let queries = values.add(16 * R * (D + 4));
        let gradients = queries.add(8 * C * (D + 4));
        let p = gradients.add(8 * C * (D + 4));
        let ([head, key_head], factor) = (heads.by_key(member), heads.factor());
        let mask = Mask { causal, past: 0, keys: head.seq };
        let first = block_idx_x() * own_rows;
        if first >= key_head.seq {
            return;
        }
        key_head.load::<D>(keys, kept.k, first, own_rows);
        key_head.load::<D>(values, kept.v, first, own_rows);
        let row = first + own_row::<R>();
        let (mut by_key, mut by_value) = ([[[0.0; 4]; W]; R], [[[0.0; 4]; W]; R]);
        // In causal attention, earlier queries do not see these keys.
        let mut query = if mask.causal { first } else { 0 };
        while query < head.seq {
            sync_threads();
            head.load::<D>(queries, kept.q, query, other_rows);
            head.load::<D>(gradients, kept.d_out, query, other_rows);
            sync_threads();
            let mut s = products::<D, R, C>(keys, queries, head.dim);
            let mut dp = products::<D, R, C>(values, gradients, head.dim);
            for j in 0..C {
                let at = query + across() + 8 * j as u32;
                let (lse, delta) = (head.row_value(kept.lse, at), head.row_value(kept.delta, at));
                for i in 0..R {
                    let seen = at < head.seq && row + i as u32 <= mask.last_key(at);
                    (s[i][j], dp[i][j]) = score_gradient(seen, s[i][j], dp[i][j], lse, delta, factor);
                }
            }
            let count = other_rows.min(head.seq - query);
            put(p, &s);
            sync_threads();
            accumulate::<D, R, C, W>(&mut by_value, p, gradients, count);
            sync_threads();
            put(p, &dp);
            sync_threads();
            accumulate::<D, R, C, W>(&mut by_key, p, queries, count);
            query += other_rows;
        }
        if member > 0 {
            key_head.add(dk, first, &mut by_key);
            key_head.add(dv, first, &mut by_value);
        }
        key_head.store(dk.into(), first, &by_key, [1.0; R]);
        key_head.store(dv.into(), first, &by_value, [1.0; R]);
    }
}

kernels! {
    /// What the backward pass needs first: `delta = Σ d_out · out` of each head of each token; shapes as in
    /// `attention_32`, delta as lse; `halves` tells of out. A warp takes a head of a token. Items: tokens of the longest sequence, heads of all sequences.
    fn attention_backward_delta(
        delta: *mut f32, d_out: *const f32, out: *const u8, halves: u32, offsets: *const u32, seq: u32, heads: u32, head_dim: u32,
    ) for [THREADS, 0, [THREADS / WARP, 1]] {
        let [head, _] = Heads { offsets, seq, heads, kv_heads: heads, dim: head_dim }.by_query();
        let token = block_idx_x() * (THREADS / WARP) + thread_idx_x() / WARP;
        if token >= head.seq {
            return;
        }
        let at = head.offset + token as usize * head.stride as usize;
        let out = Values::of(out, halves, 0);
        let mut sum = 0.0;
        let mut c = thread_idx_x() % WARP;
        while c < head_dim {
            sum += *d_out.add(at + c as usize) * out.get(at + c as usize);
            c += WARP;
        }
        let sum = warp_sum(sum);
        if thread_idx_x().is_multiple_of(WARP) {
            *delta.add(head.row_values + token as usize) = sum;
        }
    }

    /// Writes dq of heads up to 32 wide; shapes as in `attention_32`, dq and d_out as q, delta as lse; `halves` tells of q, k, v. A block takes 64
    /// queries of a head. Items: queries of the longest sequence, heads of all sequences.
    fn attention_backward_query_32(
        dq: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const u8, k: *const u8, v: *const u8, halves: u32,
        offsets: *const u32, seq: u32, heads: u32, kv_heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, shared_bytes(2, 4, 4, 1), [64, 1]] {
        backward_query::<32, 4, 4, 1>(dq, kept([q, k, v], halves, d_out, lse, delta), Heads { offsets, seq, heads, kv_heads, dim: head_dim }, causal == 1);
    }

    /// `attention_backward_query_32` for heads up to 64 wide.
    fn attention_backward_query_64(
        dq: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const u8, k: *const u8, v: *const u8, halves: u32,
        offsets: *const u32, seq: u32, heads: u32, kv_heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, shared_bytes(2, 4, 2, 2), [64, 1]] {
        backward_query::<64, 4, 2, 2>(dq, kept([q, k, v], halves, d_out, lse, delta), Heads { offsets, seq, heads, kv_heads, dim: head_dim }, causal == 1);
    }

    /// `attention_backward_query_32` for heads up to 128 wide: a block takes 32 queries.
    fn attention_backward_query_128(
        dq: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const u8, k: *const u8, v: *const u8, halves: u32,
        offsets: *const u32, seq: u32, heads: u32, kv_heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, shared_bytes(2, 2, 1, 4), [32, 1]] {
        backward_query::<128, 2, 1, 4>(dq, kept([q, k, v], halves, d_out, lse, delta), Heads { offsets, seq, heads, kv_heads, dim: head_dim }, causal == 1);
    }

    /// Writes dk and dv, `[rows, kv_heads · head_dim]`, of heads up to 32 wide, by query head `member` of those that read each key head; adds them if it
    /// is not the first. Other shapes as in `attention_backward_query_32`. A block takes 64 keys of a head. Items: keys of the longest sequence, key
    /// heads of all sequences.
    fn attention_backward_key_value_32(
        dk: *mut f32, dv: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const u8, k: *const u8, v: *const u8, halves: u32,
        offsets: *const u32, seq: u32, heads: u32, kv_heads: u32, head_dim: u32, causal: u32, member: u32,
    ) for [THREADS, shared_bytes(2, 4, 4, 1), [64, 1]] {
        backward_key_value::<32, 4, 4, 1>(dk, dv, kept([q, k, v], halves, d_out, lse, delta), Heads { offsets, seq, heads, kv_heads, dim: head_dim }, causal == 1, member);
    }

    /// `attention_backward_key_value_32` for heads up to 64 wide.
    fn attention_backward_key_value_64(
        dk: *mut f32, dv: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const u8, k: *const u8, v: *const u8, halves: u32,
        offsets: *const u32, seq: u32, heads: u32, kv_heads: u32, head_dim: u32, causal: u32, member: u32,
    ) for [THREADS, shared_bytes(2, 4, 2, 2), [64, 1]] {
        backward_key_value::<64, 4, 2, 2>(dk, dv, kept([q, k, v], halves, d_out, lse, delta), Heads { offsets, seq, heads, kv_heads, dim: head_dim }, causal == 1, member);
    }

    /// `attention_backward_key_value_32` for heads up to 128 wide: a block takes 32 keys.
    fn attention_backward_key_value_128(
        dk: *mut f32, dv: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const u8, k: *const u8, v: *const u8, halves: u32,
        offsets: *const u32, seq: u32, heads: u32, kv_heads: u32, head_dim: u32, causal: u32, member: u32,
    ) for [THREADS, shared_bytes(2, 2, 1, 4), [32, 1]] {
        backward_key_value::<128, 2, 1, 4>(dk, dv, kept([q, k, v], halves, d_out, lse, delta), Heads { offsets, seq, heads, kv_heads, dim: head_dim }, causal == 1, member);
    }
}
