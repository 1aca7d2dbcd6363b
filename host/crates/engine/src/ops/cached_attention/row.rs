//! One query's products with a piece of the cache, all query heads of a key head together.

use multiversion::multiversion;

use crate::backend::cpu::activations::Values;
#[cfg(target_arch = "x86_64")]
use crate::backend::cpu::microkernel::micro_kernels;

/// Widest head.
pub const MAX_HEAD_DIM: usize = 256;

/// The rows of a head in a piece of the cache.
#[derive(Clone, Copy)]
pub struct Piece {
    /// Values of a row.
    pub dim: usize,
    /// From row to row.
    pub stride: usize,
    /// Rows.
    pub tokens: usize,
}

/// `scores[head][t] = q[head] · k[t] · factor` for all heads of `q`, `[heads, dim]`.
pub fn score(scores: &mut [f32], q: &[f32], k: Values, at: Piece, factor: f32) {
    assert!(at.dim <= MAX_HEAD_DIM && scores.len() * at.dim == q.len() * at.tokens, "scores of heads");
    #[cfg(target_arch = "x86_64")]
    if avx2::fits(at) {
        // SAFETY: AVX2, FMA and F16C were detected.
        return unsafe { avx2::score(scores, q, k, at, factor) };
    }
    portable_score(scores, q, k, at, factor, 0);
}

/// `out[head] = Σ weights[head][t] · v[t]` for all heads of `out`, `[heads, dim]`.
pub fn mix(out: &mut [f32], weights: &[f32], v: Values, at: Piece) {
    assert!(at.dim <= MAX_HEAD_DIM && weights.len() * at.dim == out.len() * at.tokens, "weights of heads");
    out.fill(0.0);
    #[cfg(target_arch = "x86_64")]
    if avx2::fits(at) {
        // SAFETY: AVX2, FMA and F16C were detected.
        return unsafe { avx2::mix(out, weights, v, at) };
    }
    portable_mix(out, weights, v, at, 0);
}

/// From token `first` on.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn portable_score(scores: &mut [f32], q: &[f32], k: Values, at: Piece, factor: f32, first: usize) {
    const LANES: usize = 16;
    let Piece { dim, stride, tokens } = at;
    let whole = dim / LANES * LANES;
    let mut widened = [0.0; MAX_HEAD_DIM];
    for t in first..tokens {
        let k = k.widened(t * stride, dim, &mut widened);
        for (head, q) in q.chunks_exact(dim).enumerate() {
            let mut sums = [0.0f32; LANES];
            for (q, k) in q[..whole].chunks_exact(LANES).zip(k[..whole].chunks_exact(LANES)) {
                for i in 0..LANES {
                    sums[i] += q[i] * k[i];
                }
            }
            // In halves, as vectors add.
            let mut lanes = LANES / 2;
            while lanes > 0 {
                for i in 0..lanes {
                    sums[i] += sums[i + lanes];
                }
                lanes /= 2;
            }
            let rest: f32 = q[whole..].iter().zip(&k[whole..]).map(|(q, k)| q * k).sum();
            scores[head * tokens + t] = (sums[0] + rest) * factor;
        }
    }
}

/// From token `first` on.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn portable_mix(out: &mut [f32], weights: &[f32], v: Values, at: Piece, first: usize) {
    let Piece { dim, stride, tokens } = at;
    let mut widened = [0.0; MAX_HEAD_DIM];
    for t in first..tokens {
        let v = v.widened(t * stride, dim, &mut widened);
        for (out, weights) in out.chunks_exact_mut(dim).zip(weights.chunks_exact(tokens)) {
            for (out, v) in out.iter_mut().zip(v) {
                *out += weights[t] * v;
            }
        }
    }
}

/// Eight tokens at a time, of heads of whole vectors; what is left over goes the portable way.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use half::f16;

    use super::{MAX_HEAD_DIM, Piece, Values, micro_kernels, portable_mix, portable_score};

    /// Values of a vector, and tokens that are taken together.
    const LANES: usize = 8;
    /// Tokens whose rows are asked for before they are taken.
    const AHEAD: usize = 16;

    /// Whether this processor and such heads go this way.
    pub fn fits(at: Piece) -> bool {
        micro_kernels().avx2 && is_x86_feature_detected!("f16c") && at.dim.is_multiple_of(LANES)
    }

    /// Rows of eight tokens.
    type Rows<'a> = [&'a [f32]; LANES];

    /// The rows from token `t` on, where they lie or widened to `buffer`.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn rows<'a>(values: Values<'a>, t: usize, at: Piece, buffer: &'a mut [[f32; MAX_HEAD_DIM]; LANES]) -> Rows<'a> {
        match values {
            Values::F32(values) => std::array::from_fn(|i| &values[(t + i) * at.stride..][..at.dim]),
            Values::F16(values) => {
                for (i, row) in buffer.iter_mut().enumerate() {
                    let halves = values[(t + i) * at.stride..][..at.dim].as_chunks::<LANES>().0;
                    for (slots, halves) in row.as_chunks_mut::<LANES>().0.iter_mut().zip(halves) {
                        // SAFETY: eight values of each.
                        unsafe { _mm256_storeu_ps(slots.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(halves.as_ptr().cast()))) };
                    }
                }
                let buffer = &*buffer;
                std::array::from_fn(|i| &buffer[i][..at.dim])
            }
        }
    }

    /// Asks for the rows that are taken [`AHEAD`] tokens later: from row to row, heads lie far apart.
    #[inline(always)]
    fn ask(values: Values, t: usize, at: Piece) {
        let (base, size) = match values {
            Values::F32(values) => (values.as_ptr().cast::<u8>(), size_of::<f32>()),
            Values::F16(values) => (values.as_ptr().cast(), size_of::<f16>()),
        };
        for row in 0..LANES {
            let row = base.wrapping_add((t + AHEAD + row) * at.stride * size);
            for line in (0..at.dim * size).step_by(64) {
                // SAFETY: prefetching never faults.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(line).cast()) };
            }
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub fn score(scores: &mut [f32], q: &[f32], k: Values, at: Piece, factor: f32) {
        let mut buffer = [[0.0; MAX_HEAD_DIM]; LANES];
        let whole = at.tokens / LANES * LANES;
        for t in (0..whole).step_by(LANES) {
            ask(k, t, at);
            let rows = rows(k, t, at, &mut buffer);
            for (q, scores) in q.chunks_exact(at.dim).zip(scores.chunks_exact_mut(at.tokens)) {
                let mut sums = [_mm256_setzero_ps(); LANES];
                for column in (0..at.dim).step_by(LANES) {
                    // SAFETY: rows and q have `dim` values, whole vectors.
                    unsafe {
                        let q = _mm256_loadu_ps(q.as_ptr().add(column));
                        for (sum, row) in sums.iter_mut().zip(rows) {
                            *sum = _mm256_fmadd_ps(q, _mm256_loadu_ps(row.as_ptr().add(column)), *sum);
                        }
                    }
                }
                let [a, b, c, d, e, f, g, h] = sums;
                let low = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
                let high = _mm256_hadd_ps(_mm256_hadd_ps(e, f), _mm256_hadd_ps(g, h));
                let sum = _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high));
                let slots = &mut scores[t..t + LANES];
                // SAFETY: eight values.
                unsafe { _mm256_storeu_ps(slots.as_mut_ptr(), _mm256_mul_ps(sum, _mm256_set1_ps(factor))) };
            }
        }
        portable_score(scores, q, k, at, factor, whole);
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub fn mix(out: &mut [f32], weights: &[f32], v: Values, at: Piece) {
        let mut buffer = [[0.0; MAX_HEAD_DIM]; LANES];
        let whole = at.tokens / LANES * LANES;
        for t in (0..whole).step_by(LANES) {
            ask(v, t, at);
            let rows = rows(v, t, at, &mut buffer);
            for (out, weights) in out.chunks_exact_mut(at.dim).zip(weights.chunks_exact(at.tokens)) {
                let weights: [__m256; LANES] = std::array::from_fn(|i| _mm256_set1_ps(weights[t + i]));
                for column in (0..at.dim).step_by(LANES) {
                    // SAFETY: rows and out have `dim` values, whole vectors.
                    unsafe {
                        let slots = out.as_mut_ptr().add(column);
                        let mut sum = _mm256_loadu_ps(slots);
                        for (weight, row) in weights.into_iter().zip(rows) {
                            sum = _mm256_fmadd_ps(weight, _mm256_loadu_ps(row.as_ptr().add(column)), sum);
                        }
                        _mm256_storeu_ps(slots, sum);
                    }
                }
            }
        }
        portable_mix(out, weights, v, at, whole);
    }
}
