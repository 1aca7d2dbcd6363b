//! Leaky ReLU (Maas et al. 2013); slope 0 is ReLU.

use super::sizes::elementwise::{COVERS, THREADS};
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::elementwise::map;
}

kernels! {
    /// `y = x` where positive, else `slope · x`, both `[n]`; y may be x. A thread takes four elements.
    fn leaky_relu(y: *mut f32, x: *const f32, n: u32, slope: f32) for [THREADS, 0, COVERS] {
        map(y, [x], n, |[x]| if x > 0.0 { x } else { slope * x });
    }

    /// `dx = dy · leaky_relu′(x)`, all `[n]`; x may be the op's result if the slope is not negative, dx may be dy. A thread takes four elements.
    fn leaky_relu_backward(dx: *mut f32, dy: *const f32, x: *const f32, n: u32, slope: f32) for [THREADS, 0, COVERS] {
        map(dx, [dy, x], n, |[dy, x]| if x > 0.0 { dy } else { slope * dy });
    }
}
