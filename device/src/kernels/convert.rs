//! Activations in another form.

use super::sizes::elementwise::{COVERS, THREADS};
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::elementwise::map;
    use super::common::values::{Values, ValuesMut};
}

kernels! {
    /// `y = x`, both `[n]`; `halves` tells of y, x. A thread takes four elements.
    fn convert(y: *mut u8, x: *const u8, halves: u32, n: u32) for [THREADS, 0, COVERS] {
        map(ValuesMut::of(y, halves, 0), [Values::of(x, halves, 1)], n, |[x]| x);
    }
}
