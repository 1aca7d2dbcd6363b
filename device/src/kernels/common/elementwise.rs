//! Functions of single elements over whole tensors.

use crate::gpu::memory::{aligned, load4, store4};
use crate::gpu::thread::{block_idx_x, thread_idx_x};
use crate::kernels::sizes::elementwise::COVERS;

/// `y[i] = f(inputs[..][i])` for this thread's four elements of `n`, in vectors of 16 bytes where all pointers allow it. `y` may be one of
/// the inputs.
#[inline(always)]
pub unsafe fn map<const N: usize>(y: *mut f32, inputs: [*const f32; N], n: u32, f: impl Fn([f32; N]) -> f32) {
    let (first, n) = (block_idx_x() as usize * COVERS[0] as usize + thread_idx_x() as usize * 4, n as usize);
    let vectors = aligned(y) && inputs.iter().all(|&x| aligned(x));
    if vectors && first + 4 <= n {
        let x = inputs.map(|x| load4(x.add(first)));
        store4(y.add(first), core::array::from_fn(|i| f(x.map(|x| x[i]))));
    } else {
        for i in first..n.min(first + 4) {
            *y.add(i) = f(inputs.map(|x| *x.add(i)));
        }
    }
}
