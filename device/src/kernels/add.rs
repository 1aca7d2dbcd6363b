//! Sums of activations.

use super::sizes::elementwise::{COVERS, THREADS};
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::elementwise::map;
    use super::common::values::{Values, ValuesMut};
}

kernels! {
    /// `y = a + b`, all `[n]`; y may be a or b; `halves` tells of y, a, b. A thread takes four elements.
    fn add(y: *mut u8, a: *const u8, b: *const u8, halves: u32, n: u32) for [THREADS, 0, COVERS] {
        map(ValuesMut::of(y, halves, 0), [Values::of(a, halves, 1), Values::of(b, halves, 2)], n, |[a, b]| a + b);
    }
}
