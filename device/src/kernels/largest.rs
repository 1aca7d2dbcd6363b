//! The largest absolute value of a tensor, which products on tensor cores scale by.

use crate::launch::{kernels, on_gpu};

/// Values of a block.
const CHUNK: u32 = 4096;
/// Threads of a block.
const THREADS: u32 = 256;

on_gpu! {
    use crate::gpu::atomic::atomic_fetch_max_relaxed_u32_device;
    use crate::gpu::float16::float_of_half;
    use crate::gpu::memory::{aligned, load4_constant};
    use crate::gpu::thread::{block_idx_x, thread_idx_x};
    use crate::gpu::warp::warp_shuffle_xor;

    /// Values of a thread at a time.
    const VECTOR: u32 = 4;

    /// `bits[0] = max(bits[0], most)`, `most` the largest of all threads.
    #[inline(always)]
    unsafe fn raise(bits: *mut u32, mut most: u32) {
        for step in [16, 8, 4, 2, 1] {
            most = most.max(warp_shuffle_xor(most, step));
        }
        if thread_idx_x().is_multiple_of(32) {
            atomic_fetch_max_relaxed_u32_device(bits, most);
        }
    }
}

kernels! {
    /// `bits[0] = max(bits[0], bits of |x|)`; x `[n / stride, stride]`, of which the first `columns` of each row count. Bits of floats are ordered as
    /// they are. A thread takes vectors of four. Items: values.
    fn largest(bits: *mut u32, x: *const f32, columns: u32, stride: u32, n: u32) for [THREADS, 0, [CHUNK, 1]] {
        let vectors = aligned(x) && stride.is_multiple_of(VECTOR);
        let mut most = 0u32;
        for pass in 0..CHUNK / (VECTOR * THREADS) {
            let first = block_idx_x() * CHUNK + (pass * THREADS + thread_idx_x()) * VECTOR;
            let at = x.wrapping_add(first as usize);
            // Of whole tensors no value is left out, and none needs to know its column.
            let counts = |i: u32| first + i < n && (columns == stride || (first + i) % stride < columns);
            let bits = |x: f32| x.to_bits() & (u32::MAX >> 1);
            if vectors && first + VECTOR <= n && counts(VECTOR - 1) {
                let [a, b, c, d] = load4_constant(at).map(bits);
                most = most.max(a).max(b).max(c).max(d);
            } else {
                for i in 0..VECTOR {
                    if counts(i) {
                        most = most.max(bits(*at.add(i as usize)));
                    }
                }
            }
        }
        raise(bits, most);
    }

    /// As `largest`, of halves: `bits[0] = max(bits[0], bits of |x| as floats)`; x `[n]`. Items: values.
    fn largest_of_halves(bits: *mut u32, x: *const u16, n: u32) for [THREADS, 0, [CHUNK, 1]] {
        let mut most = 0u16;
        for pass in 0..CHUNK / THREADS {
            let i = block_idx_x() * CHUNK + pass * THREADS + thread_idx_x();
            if i < n {
                most = most.max(*x.add(i as usize) & (u16::MAX >> 1));
            }
        }
        raise(bits, float_of_half(most).to_bits());
    }
}
