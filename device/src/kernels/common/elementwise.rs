//! Functions of single elements over whole tensors.

use super::values::{Values, ValuesMut};
use crate::gpu::thread::{block_idx_x, thread_idx_x};
use crate::kernels::sizes::elementwise::COVERS;

/// `y[i] = f(inputs[..][i])` for this thread's four elements of `n`, in vectors of four where all pointers allow it. `y` may be one of
/// the inputs.
#[inline(always)]
pub unsafe fn map<const N: usize>(y: impl Into<ValuesMut>, inputs: [impl Into<Values>; N], n: u32, f: impl Fn([f32; N]) -> f32) {
    let (y, inputs) = (y.into(), inputs.map(Into::into));
    let (first, n) = (block_idx_x() as usize * COVERS[0] as usize + thread_idx_x() as usize * 4, n as usize);
    let vectors = y.aligned() && inputs.iter().all(|x| x.aligned());
    if vectors && first + 4 <= n {
        let x = inputs.map(|x| x.load::<4>(first));
        y.store::<4>(first, core::array::from_fn(|i| f(x.map(|x| x[i]))));
    } else {
        for i in first..n.min(first + 4) {
            y.set(i, f(inputs.map(|x| x.get(i))));
        }
    }
}
