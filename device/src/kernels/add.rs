//! Sums of activations.

use super::sizes::elementwise::{COVERS, THREADS};
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::elementwise::map;
}

kernels! {
    /// `y = a + b`, all `[n]`; y may be a or b. A thread takes four elements.
    fn add(y: *mut f32, a: *const f32, b: *const f32, n: u32) for [THREADS, 0, COVERS] {
        map(y, [a, b], n, |[a, b]| a + b);
    }
}
