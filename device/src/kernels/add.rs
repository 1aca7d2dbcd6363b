//! Sums of activations.

use super::elementwise::{COVERS, THREADS, map};
use crate::gpu::kernels;

kernels! {
    /// `y = a + b`, all `[n]`; y may be a or b. A thread takes four elements.
    fn add(y: *mut f32, a: *const f32, b: *const f32, n: u32) for [THREADS, 0, COVERS] {
        map(y, [a, b], n, |[a, b]| a + b);
    }
}
