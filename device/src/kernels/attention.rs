//! Softmax attention within sequences, causal or not, without the matrix of scores (Dao et al. 2022). See `common::heads`.

use super::sizes::heads::{THREADS, shared_bytes};
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::float::ln;
    use super::common::heads::{Heads, LOG2_E, Mask, accumulate, across, own_row, products, put};
    use super::common::values::{Values, ValuesMut};
    use super::sizes::heads::ACROSS;
    use crate::gpu::GpuFloat;
    use crate::gpu::shared::dynamic_shared_mem;
    use crate::gpu::thread::sync_threads;
    use crate::gpu::warp::warp_shuffle_xor;

    /// The combination over the eight threads that share own rows.
    #[inline(always)]
    fn combine(mut value: f32, f: impl Fn(f32, f32) -> f32) -> f32 {
        let mut lanes = ACROSS / 2;
        while lanes > 0 {
            value = f(value, f32::from_bits(warp_shuffle_xor(value.to_bits(), lanes)));
            lanes /= 2;
        }
        value
    }

    #[inline(always)]
    fn larger(a: f32, b: f32) -> f32 {
        if b > a { b } else { a }
    }

    #[inline(always)]
    unsafe fn forward<const D: usize, const R: usize, const C: usize, const W: usize>(
        out: ValuesMut,
        lse: *mut f32,
        [q, k, v]: [Values; 3],
        heads: Heads,
        past: u32,
        causal: bool,
    ) {
        let [head, mut key_head] = heads.by_query();
        if past > 0 {
            key_head.seq += past;
        }
        let mask = Mask { causal, past, keys: key_head.seq };
        let (own_rows, other_rows) = (16 * R as u32, 8 * C as u32);
        let own = dynamic_shared_mem::<f32>();
        let keys = own.add(16 * R * (D + 4));
        let values = keys.add(8 * C * (D + 4));
        let p = values.add(8 * C * (D + 4));
        let Some(first) = head.own_queries(own_rows) else { return };
        head.load::<D>(own, q, first, own_rows);
        let scale = heads.factor() * LOG2_E;
        let (mut max, mut sum) = ([f32::NEG_INFINITY; R], [0.0; R]);
        let mut result = [[[0.0; 4]; W]; R];
        let (mut key, end) = (0, mask.keys_end(first + own_rows));
        while key < end {
            sync_threads();
            key_head.load::<D>(keys, k, key, other_rows);
            key_head.load::<D>(values, v, key, other_rows);
            sync_threads();
            let mut s = products::<D, R, C>(own, keys, head.dim);
            for i in 0..R {
                let query = first + own_row::<R>() + i as u32;
                let mut next = max[i];
                for j in 0..C {
                    let seen = key + across() + 8 * j as u32 <= mask.last_key(query);
                    s[i][j] = if seen { s[i][j] * scale } else { f32::NEG_INFINITY };
                    next = larger(next, s[i][j]);
                }
                // The first tile has a key that each query sees, so the largest is finite from there on.
                next = combine(next, larger);
                let shrink = (max[i] - next).exp2();
                max[i] = next;
                sum[i] *= shrink;
                for j in 0..C {
                    s[i][j] = (s[i][j] - next).exp2();
                    sum[i] += s[i][j];
                }
                for w in 0..W {
                    result[i][w] = result[i][w].map(|x| x * shrink);
                }
            }
            put(p, &s);
            sync_threads();
            accumulate::<D, R, C, W>(&mut result, p, values, other_rows.min(mask.keys - key));
            key += other_rows;
        }
        let sum = sum.map(|sum| combine(sum, |a, b| a + b));
        head.store(out, first, &result, sum.map(|sum| 1.0 / sum));
        for i in 0..R {
            let query = first + own_row::<R>() + i as u32;
            if across() == 0 && query < head.seq {
                *lse.add(head.row_values + query as usize) = max[i] * core::f32::consts::LN_2 + ln(sum[i]);
            }
        }
    }

    /// q, k and v, which come after out in `halves`.
    #[inline(always)]
    fn operands([q, k, v]: [*const u8; 3], halves: u32) -> [Values; 3] {
        [Values::of(q, halves, 1), Values::of(k, halves, 2), Values::of(v, halves, 3)]
    }
}

kernels! {
    /// `out = softmax(q·kᵀ/√head_dim)·v` of heads up to 32 wide, where a query sees its own and earlier keys only if `causal` is 1; out, q
    /// `[rows, heads · head_dim]`, k, v `[rows, kv_heads · head_dim]`, of which query head h reads head `h / (heads / kv_heads)`, lse
    /// `[heads, rows of the sequence]` of each sequence, one after another. `offsets` are the sequences' first rows, `[sequences + 1]`, or null for
    /// sequences of `seq` rows; `halves` tells of out, q, k, v. Of a single sequence, k and v may have `past` rows before those of the queries. A block takes 64 queries of a head.
    /// Items: queries of the longest sequence, heads of all sequences.
    fn attention_32(
        out: *mut u8, lse: *mut f32, q: *const u8, k: *const u8, v: *const u8, halves: u32,
        offsets: *const u32, seq: u32, past: u32, heads: u32, kv_heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, shared_bytes(1, 4, 4, 1), [64, 1]] {
        forward::<32, 4, 4, 1>(ValuesMut::of(out, halves, 0), lse, operands([q, k, v], halves), Heads { offsets, seq, heads, kv_heads, dim: head_dim }, past, causal == 1);
    }

    /// `attention_32` for heads up to 64 wide.
    fn attention_64(
        out: *mut u8, lse: *mut f32, q: *const u8, k: *const u8, v: *const u8, halves: u32,
        offsets: *const u32, seq: u32, past: u32, heads: u32, kv_heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, shared_bytes(1, 4, 4, 2), [64, 1]] {
        forward::<64, 4, 4, 2>(ValuesMut::of(out, halves, 0), lse, operands([q, k, v], halves), Heads { offsets, seq, heads, kv_heads, dim: head_dim }, past, causal == 1);
    }

    /// `attention_32` for heads up to 128 wide: a block takes 32 queries.
    fn attention_128(
        out: *mut u8, lse: *mut f32, q: *const u8, k: *const u8, v: *const u8, halves: u32,
        offsets: *const u32, seq: u32, past: u32, heads: u32, kv_heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, shared_bytes(1, 2, 2, 4), [32, 1]] {
        forward::<128, 2, 2, 4>(ValuesMut::of(out, halves, 0), lse, operands([q, k, v], halves), Heads { offsets, seq, heads, kv_heads, dim: head_dim }, past, causal == 1);
    }
}
