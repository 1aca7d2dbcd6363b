//! AdamW (Loshchilov & Hutter 2019).

use crate::launch::{kernels, on_gpu};

/// Threads of a block.
const THREADS: u32 = 256;

on_gpu! {
    use crate::gpu::GpuFloat;
    use crate::gpu::thread::{block_idx_x, thread_idx_x};
}

kernels! {
    /// One step on `value`; all of value, gradient, m, v `[n]`, norm_squared `[1]`. The gradient is scaled by `min(1, max_norm / norm)`; `rate`
    /// is `lr / (1 − β₁ᵗ)`, `keep` is `1 − lr · weight_decay`, `second` is `1 / (1 − β₂ᵗ)`. Nothing moves where norm_squared is not finite.
    /// A thread takes an element. Items: elements.
    fn adamw(
        value: *mut f32, gradient: *const f32, m: *mut f32, v: *mut f32, norm_squared: *const f32, n: u32,
        max_norm: f32, rate: f32, keep: f32, second: f32, beta1: f32, beta2: f32, eps: f32, floor: f32,
    ) for [THREADS, 0, [THREADS, 1]] {
        let i = (block_idx_x() * THREADS + thread_idx_x()) as usize;
        let squared = *norm_squared;
        if i >= n as usize || !squared.is_finite() {
            return;
        }
        let norm = squared.sqrt();
        let g = *gradient.add(i) * if norm > max_norm { max_norm / norm } else { 1.0 };
        let (m, v, value) = (m.add(i), v.add(i), value.add(i));
        let (first, square) = (beta1 * *m + (1.0 - beta1) * g, beta2 * *v + (1.0 - beta2) * g * g);
        let next = *value * keep - rate * first / ((square * second).sqrt() + eps);
        *m = first;
        *v = square;
        // The floor must not hide an infinite moment.
        *value = if next < floor && next > f32::NEG_INFINITY { floor } else { next };
    }
}
