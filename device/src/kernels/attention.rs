//! Softmax attention within sequences, causal or not, without the matrix of scores, and its backward pass from the kept log-sum-exp (Dao et al. 2022).
//!
//! A block of 128 threads holds tiles of `OWN` = 16·R rows of its own and walks over tiles of `OTHER` = 8·C rows of the others, all of one
//! head, `[row][D + 4]` in shared memory: D = 32·W is the head's width, filled up with zeros. Thread (y, x) of 16 × 8 computes the R × C
//! scores of own rows `y·R + i` and other rows `x + 8·j`, and of its own rows' results the columns `4·x + 32·w`. Eight threads of one warp
//! share own rows; own rows are read as broadcasts, other rows at eight addresses that lie four banks apart.
//!
//! The backward pass is two kernels, each the only writer of its results: dq with queries as own rows, and dk, dv with keys.

use super::float::ln;
use super::reduce::warp_sum;
use crate::gpu::memory::{aligned, load, load4, store4};
use crate::gpu::thread::{block_idx_x, block_idx_y, sync_threads, thread_idx_x};
use crate::gpu::warp::warp_shuffle_xor;
use crate::gpu::{GpuFloat, WARP, kernels, shared::dynamic_shared_mem};

/// Threads of a block.
const THREADS: u32 = 128;
/// Threads that share own rows.
const ACROSS: u32 = 8;
/// log₂ e: exponentials are powers of two.
const LOG2_E: f32 = core::f32::consts::LOG2_E;

/// Shared bytes of `tiles` own and two other tiles, and one of probabilities.
const fn shared_bytes(own_tiles: usize, r: usize, c: usize, w: usize) -> usize {
    let (own, other, stride) = (16 * r, 8 * c, 32 * w + 4);
    4 * ((own_tiles * own + 2 * other) * stride + other * (own + 4))
}

/// One head of one sequence in `[tokens, heads · head_dim]`.
#[derive(Clone, Copy)]
struct Head {
    /// Offset of its first value.
    offset: usize,
    /// From token to token.
    stride: usize,
    /// Its width.
    dim: u32,
    /// Tokens of its sequence.
    seq: u32,
    /// Offset of its values of rows: all heads of a sequence, one after another.
    row_values: usize,
    /// What scores are multiplied by.
    factor: f32,
    /// Whether a query sees only its own and earlier keys.
    causal: bool,
}

impl Head {
    /// The head of this block: y of the grid.
    #[inline(always)]
    unsafe fn of_block(offsets: *const u32, seq: u32, heads: u32, dim: u32, causal: u32) -> Self {
        let (sequence, head) = ((block_idx_y() / heads) as usize, (block_idx_y() % heads) as usize);
        let (first, seq) = if offsets.is_null() {
            (sequence * seq as usize, seq)
        } else {
            let first = *offsets.add(sequence);
            (first as usize, *offsets.add(sequence + 1) - first)
        };
        let stride = heads as usize * dim as usize;
        let offset = first * stride + head * dim as usize;
        let row_values = first * heads as usize + head * seq as usize;
        Self { offset, stride, dim, seq, row_values, factor: 1.0 / (dim as f32).sqrt(), causal: causal == 1 }
    }

    /// First of the block's own rows, the last tile's first: in causal attention those of queries are the longest. None beyond the sequence.
    #[inline(always)]
    fn own_queries(&self, own_rows: u32) -> Option<u32> {
        let tiles = self.seq.div_ceil(own_rows);
        if block_idx_x() < tiles { Some((tiles - 1 - block_idx_x()) * own_rows) } else { None }
    }

    /// Behind the keys that the queries `first..first + own_rows` see.
    #[inline(always)]
    fn keys_end(&self, first: u32, own_rows: u32) -> u32 {
        if self.causal { self.seq.min(first + own_rows) } else { self.seq }
    }

    /// The last key that a query sees.
    #[inline(always)]
    fn last_key(&self, query: u32) -> u32 {
        if self.causal { query } else { self.seq - 1 }
    }

    /// Loads rows `first..first + 16·ROWS16` of `data` to `tile`, with zeros beyond the sequence and the width.
    #[inline(always)]
    unsafe fn load<const D: usize>(&self, tile: *mut f32, data: *const f32, first: u32, rows: u32) {
        let vectors = aligned(data) && self.dim.is_multiple_of(4);
        let across = D as u32 / 4;
        let mut index = thread_idx_x();
        while index < rows * across {
            let (row, column) = (index / across, index % across * 4);
            let at = data.wrapping_add(self.offset + (first + row) as usize * self.stride + column as usize);
            let values = if first + row >= self.seq {
                [0.0; 4]
            } else if vectors && column < self.dim {
                load4(at)
            } else {
                core::array::from_fn(|i| if column + (i as u32) < self.dim { *at.add(i) } else { 0.0 })
            };
            store4(tile.add(row as usize * (D + 4) + column as usize), values);
            index += THREADS;
        }
    }

    /// Stores results of this thread's own rows, each times its factor.
    #[inline(always)]
    unsafe fn store<const R: usize, const W: usize>(&self, data: *mut f32, first: u32, values: &[[[f32; 4]; W]; R], factors: [f32; R]) {
        let vectors = aligned(data) && self.dim.is_multiple_of(4);
        for i in 0..R {
            let row = first + own_row::<R>() + i as u32;
            for w in 0..W {
                let column = across() * 4 + 32 * w as u32;
                let at = data.wrapping_add(self.offset + row as usize * self.stride + column as usize);
                let values = values[i][w].map(|x| x * factors[i]);
                if row < self.seq && vectors && column < self.dim {
                    store4(at, values);
                } else if row < self.seq {
                    for l in 0..4 {
                        if column + (l as u32) < self.dim {
                            *at.add(l) = values[l];
                        }
                    }
                }
            }
        }
    }

    /// A value of each row, `[heads, seq]` of each sequence; 0 beyond the sequence.
    #[inline(always)]
    unsafe fn row_value(&self, data: *const f32, row: u32) -> f32 {
        if row < self.seq { *data.add(self.row_values + row as usize) } else { 0.0 }
    }
}

/// x of the thread.
#[inline(always)]
fn across() -> u32 {
    thread_idx_x() % ACROSS
}

/// First of the thread's own rows in the tile.
#[inline(always)]
fn own_row<const R: usize>() -> u32 {
    thread_idx_x() / ACROSS * R as u32
}

/// `s[i][j] = own row y·R + i · other row x + 8·j`, over the first `width` columns, rounded up to four.
#[inline(always)]
unsafe fn products<const D: usize, const R: usize, const C: usize>(own: *const f32, other: *const f32, width: u32) -> [[f32; C]; R] {
    let own = own.add(own_row::<R>() as usize * (D + 4));
    let other = other.add(across() as usize * (D + 4));
    let mut sums = [[0.0; C]; R];
    let mut d = 0;
    while d < width as usize {
        let a: [[f32; 4]; R] = core::array::from_fn(|i| load4(own.add(i * (D + 4) + d)));
        let b: [[f32; 4]; C] = core::array::from_fn(|j| load4(other.add(j * 8 * (D + 4) + d)));
        for i in 0..R {
            for j in 0..C {
                for l in 0..4 {
                    sums[i][j] = a[i][l].mul_add(b[j][l], sums[i][j]);
                }
            }
        }
        d += 4;
    }
    sums
}

/// Stores the thread's `p` to `[other row][own row]`, rows padded by four: eight threads to eight times four adjacent banks.
#[inline(always)]
unsafe fn put<const R: usize, const C: usize>(to: *mut f32, p: &[[f32; C]; R]) {
    for j in 0..C {
        for i in 0..R {
            *to.add((across() as usize + 8 * j) * (16 * R + 4) + own_row::<R>() as usize + i) = p[i][j];
        }
    }
}

/// `sums[i] += Σ p[other][own i] · values[other]` over the first `count` other rows.
#[inline(always)]
unsafe fn accumulate<const D: usize, const R: usize, const C: usize, const W: usize>(
    sums: &mut [[[f32; 4]; W]; R],
    p: *const f32,
    values: *const f32,
    count: u32,
) {
    let p = p.add(own_row::<R>() as usize);
    let values = values.add(across() as usize * 4);
    for other in 0..count as usize {
        let p: [f32; R] = load(p.add(other * (16 * R + 4)));
        for w in 0..W {
            let v = load4(values.add(other * (D + 4) + 32 * w));
            for i in 0..R {
                for l in 0..4 {
                    sums[i][w][l] = p[i].mul_add(v[l], sums[i][w][l]);
                }
            }
        }
    }
}

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
    out: *mut f32,
    lse: *mut f32,
    [q, k, v]: [*const f32; 3],
    head: Head,
) {
    let (own_rows, other_rows) = (16 * R as u32, 8 * C as u32);
    let own = dynamic_shared_mem::<f32>();
    let keys = own.add(16 * R * (D + 4));
    let values = keys.add(8 * C * (D + 4));
    let p = values.add(8 * C * (D + 4));
    let Some(first) = head.own_queries(own_rows) else { return };
    head.load::<D>(own, q, first, own_rows);
    let scale = head.factor * LOG2_E;
    let (mut max, mut sum) = ([f32::NEG_INFINITY; R], [0.0; R]);
    let mut result = [[[0.0; 4]; W]; R];
    let (mut key, end) = (0, head.keys_end(first, own_rows));
    while key < end {
        sync_threads();
        head.load::<D>(keys, k, key, other_rows);
        head.load::<D>(values, v, key, other_rows);
        sync_threads();
        let mut s = products::<D, R, C>(own, keys, head.dim);
        for i in 0..R {
            let query = first + own_row::<R>() + i as u32;
            let mut next = max[i];
            for j in 0..C {
                let seen = key + across() + 8 * j as u32 <= head.last_key(query);
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
        accumulate::<D, R, C, W>(&mut result, p, values, other_rows.min(head.seq - key));
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

/// What the backward pass reads.
#[derive(Clone, Copy)]
struct Kept {
    q: *const f32,
    k: *const f32,
    v: *const f32,
    d_out: *const f32,
    lse: *const f32,
    delta: *const f32,
}

/// A probability and the gradient of its raw score, of a query that sees the key; zeros else.
#[inline(always)]
fn score_gradient(seen: bool, score: f32, dp: f32, lse: f32, delta: f32, factor: f32) -> (f32, f32) {
    let p = (score * (factor * LOG2_E) - lse * LOG2_E).exp2();
    if seen { (p, p * (dp - delta) * factor) } else { (0.0, 0.0) }
}

#[inline(always)]
unsafe fn backward_query<const D: usize, const R: usize, const C: usize, const W: usize>(dq: *mut f32, kept: Kept, head: Head) {
    let (own_rows, other_rows) = (16 * R as u32, 8 * C as u32);
    let queries = dynamic_shared_mem::<f32>();
    let gradients = queries.add(16 * R * (D + 4));
    let keys = gradients.add(16 * R * (D + 4));
    let values = keys.add(8 * C * (D + 4));
    let ds = values.add(8 * C * (D + 4));
    let Some(first) = head.own_queries(own_rows) else { return };
    head.load::<D>(queries, kept.q, first, own_rows);
    head.load::<D>(gradients, kept.d_out, first, own_rows);
    let row = first + own_row::<R>();
    let lse: [f32; R] = core::array::from_fn(|i| head.row_value(kept.lse, row + i as u32));
    let delta: [f32; R] = core::array::from_fn(|i| head.row_value(kept.delta, row + i as u32));
    let mut result = [[[0.0; 4]; W]; R];
    let (mut key, end) = (0, head.keys_end(first, own_rows));
    while key < end {
        sync_threads();
        head.load::<D>(keys, kept.k, key, other_rows);
        head.load::<D>(values, kept.v, key, other_rows);
        sync_threads();
        let mut s = products::<D, R, C>(queries, keys, head.dim);
        let dp = products::<D, R, C>(gradients, values, head.dim);
        for i in 0..R {
            for j in 0..C {
                let seen = key + across() + 8 * j as u32 <= head.last_key(row + i as u32);
                s[i][j] = score_gradient(seen, s[i][j], dp[i][j], lse[i], delta[i], head.factor).1;
            }
        }
        put(ds, &s);
        sync_threads();
        accumulate::<D, R, C, W>(&mut result, ds, keys, other_rows.min(head.seq - key));
        key += other_rows;
    }
    head.store(dq, first, &result, [1.0; R]);
}

#[inline(always)]
unsafe fn backward_key_value<const D: usize, const R: usize, const C: usize, const W: usize>(
    dk: *mut f32,
    dv: *mut f32,
    kept: Kept,
    head: Head,
) {
    let (own_rows, other_rows) = (16 * R as u32, 8 * C as u32);
    let keys = dynamic_shared_mem::<f32>();
    let values = keys.add(16 * R * (D + 4));
    let queries = values.add(16 * R * (D + 4));
    let gradients = queries.add(8 * C * (D + 4));
    let p = gradients.add(8 * C * (D + 4));
    let first = block_idx_x() * own_rows;
    if first >= head.seq {
        return;
    }
    head.load::<D>(keys, kept.k, first, own_rows);
    head.load::<D>(values, kept.v, first, own_rows);
    let row = first + own_row::<R>();
    let (mut by_key, mut by_value) = ([[[0.0; 4]; W]; R], [[[0.0; 4]; W]; R]);
    // In causal attention, earlier queries do not see these keys.
    let mut query = if head.causal { first } else { 0 };
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
                let seen = at < head.seq && row + i as u32 <= head.last_key(at);
                (s[i][j], dp[i][j]) = score_gradient(seen, s[i][j], dp[i][j], lse, delta, head.factor);
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
    head.store(dk, first, &by_key, [1.0; R]);
    head.store(dv, first, &by_value, [1.0; R]);
}

kernels! {
    /// `out = softmax(q·kᵀ/√head_dim)·v` of heads up to 32 wide, where a query sees its own and earlier keys only if `causal` is 1; out, q, k, v
    /// `[rows, heads · head_dim]`, lse `[heads, rows of the sequence]` of each sequence, one after another. `offsets` are the sequences' first
    /// rows, `[sequences + 1]`, or null for sequences of `seq` rows. A block takes 64 queries of a head. Items: queries of the longest sequence,
    /// heads of all sequences.
    fn attention_32(
        out: *mut f32, lse: *mut f32, q: *const f32, k: *const f32, v: *const f32,
        offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, shared_bytes(1, 4, 4, 1), [64, 1]] {
        forward::<32, 4, 4, 1>(out, lse, [q, k, v], Head::of_block(offsets, seq, heads, head_dim, causal));
    }

    /// `attention_32` for heads up to 64 wide.
    fn attention_64(
        out: *mut f32, lse: *mut f32, q: *const f32, k: *const f32, v: *const f32,
        offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, shared_bytes(1, 4, 4, 2), [64, 1]] {
        forward::<64, 4, 4, 2>(out, lse, [q, k, v], Head::of_block(offsets, seq, heads, head_dim, causal));
    }

    /// `attention_32` for heads up to 128 wide: a block takes 32 queries.
    fn attention_128(
        out: *mut f32, lse: *mut f32, q: *const f32, k: *const f32, v: *const f32,
        offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, shared_bytes(1, 2, 2, 4), [32, 1]] {
        forward::<128, 2, 2, 4>(out, lse, [q, k, v], Head::of_block(offsets, seq, heads, head_dim, causal));
    }

    /// What the backward pass needs first: `delta = Σ d_out · out` of each head of each token; shapes as in
    /// `attention_32`, delta as lse. A warp takes a head of a token. Items: tokens of the longest sequence, heads of all sequences.
    fn attention_backward_delta(
        delta: *mut f32, d_out: *const f32, out: *const f32, offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, 0, [THREADS / WARP, 1]] {
        let head = Head::of_block(offsets, seq, heads, head_dim, causal);
        let token = block_idx_x() * (THREADS / WARP) + thread_idx_x() / WARP;
        if token >= head.seq {
            return;
        }
        let at = head.offset + token as usize * head.stride;
        let mut sum = 0.0;
        let mut c = thread_idx_x() % WARP;
        while c < head_dim {
            sum += *d_out.add(at + c as usize) * *out.add(at + c as usize);
            c += WARP;
        }
        let sum = warp_sum(sum);
        if thread_idx_x().is_multiple_of(WARP) {
            *delta.add(head.row_values + token as usize) = sum;
        }
    }

    /// Writes dq of heads up to 32 wide; shapes as in `attention_32`, dq and d_out as q, delta as lse. A block takes 64 queries of a head.
    /// Items: queries of the longest sequence, heads of all sequences.
    fn attention_backward_query_32(
        dq: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const f32, k: *const f32, v: *const f32,
        offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, shared_bytes(2, 4, 4, 1), [64, 1]] {
        backward_query::<32, 4, 4, 1>(dq, Kept { q, k, v, d_out, lse, delta }, Head::of_block(offsets, seq, heads, head_dim, causal));
    }

    /// `attention_backward_query_32` for heads up to 64 wide.
    fn attention_backward_query_64(
        dq: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const f32, k: *const f32, v: *const f32,
        offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, shared_bytes(2, 4, 2, 2), [64, 1]] {
        backward_query::<64, 4, 2, 2>(dq, Kept { q, k, v, d_out, lse, delta }, Head::of_block(offsets, seq, heads, head_dim, causal));
    }

    /// `attention_backward_query_32` for heads up to 128 wide: a block takes 32 queries.
    fn attention_backward_query_128(
        dq: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const f32, k: *const f32, v: *const f32,
        offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, shared_bytes(2, 2, 1, 4), [32, 1]] {
        backward_query::<128, 2, 1, 4>(dq, Kept { q, k, v, d_out, lse, delta }, Head::of_block(offsets, seq, heads, head_dim, causal));
    }

    /// Writes dk and dv of heads up to 32 wide; shapes as in `attention_backward_query_32`. A block takes 64 keys of a head. Items: keys of the
    /// longest sequence, heads of all sequences.
    fn attention_backward_key_value_32(
        dk: *mut f32, dv: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const f32, k: *const f32, v: *const f32,
        offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, shared_bytes(2, 4, 4, 1), [64, 1]] {
        backward_key_value::<32, 4, 4, 1>(dk, dv, Kept { q, k, v, d_out, lse, delta }, Head::of_block(offsets, seq, heads, head_dim, causal));
    }

    /// `attention_backward_key_value_32` for heads up to 64 wide.
    fn attention_backward_key_value_64(
        dk: *mut f32, dv: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const f32, k: *const f32, v: *const f32,
        offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, shared_bytes(2, 4, 2, 2), [64, 1]] {
        backward_key_value::<64, 4, 2, 2>(dk, dv, Kept { q, k, v, d_out, lse, delta }, Head::of_block(offsets, seq, heads, head_dim, causal));
    }

    /// `attention_backward_key_value_32` for heads up to 128 wide: a block takes 32 keys.
    fn attention_backward_key_value_128(
        dk: *mut f32, dv: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const f32, k: *const f32, v: *const f32,
        offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32,
    ) for [THREADS, shared_bytes(2, 2, 1, 4), [32, 1]] {
        backward_key_value::<128, 2, 1, 4>(dk, dv, Kept { q, k, v, d_out, lse, delta }, Head::of_block(offsets, seq, heads, head_dim, causal));
    }
}
