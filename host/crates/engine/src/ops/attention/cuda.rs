//! Softmax attention on CUDA.

use primal_device::kernels::sizes::heads::WIDTHS;
use primal_device::kernels::{attention as forward, attention_backward as backward};

use super::{Attention, AttentionBackward};
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{halves, size};
use crate::backend::cuda_plan::MAX_HEAD_DIM;
use crate::backend::{AttentionShape, RunOn};

/// The items of the kernels, those of keys, and the sizes that all take: rows of the longest sequence, heads, key heads, width, and whether causal.
fn sizes(shape: AttentionShape) -> ([usize; 2], [usize; 2], [u32; 5]) {
    shape.group();
    let (longest, count) = (shape.sequences.longest(), shape.sequences.count());
    let sizes = [longest, shape.heads, shape.kv_heads, shape.head_dim, usize::from(shape.causal)].map(size);
    ([longest, count * shape.heads], [longest, count * shape.kv_heads], sizes)
}

/// The one of the `functions`, one for each of [`WIDTHS`], that is for heads of so many values.
pub(in crate::ops) fn by_width<F: Copy>(head_dim: usize, functions: [F; WIDTHS.len()]) -> F {
    let at = WIDTHS.iter().position(|&width| head_dim <= width);
    functions[at.unwrap_or_else(|| panic!("attention heads of {head_dim} values: the CUDA back end takes up to {MAX_HEAD_DIM}"))]
}

impl RunOn<Cuda> for Attention {
    fn run_on(self, cuda: &mut Cuda) {
        let shape = self.shape;
        let ((items, _, [seq, heads, kv_heads, dim, causal]), at) = (sizes(shape), cuda.offsets(shape.sequences));
        let (out, lse) = (cuda.write_values(self.out), cuda.write(self.lse));
        let ([q, k, v], in_half) = ([self.q, self.k, self.v].map(|x| cuda.read_values(x)), halves([self.out, self.q, self.k, self.v]));
        let forward = [forward::attention_32, forward::attention_64, forward::attention_128];
        let call = by_width(shape.head_dim, forward);
        cuda.launch(items, call(out, lse, q, k, v, in_half, at, seq, 0, heads, kv_heads, dim, causal));
    }
}

impl RunOn<Cuda> for AttentionBackward {
    fn run_on(self, cuda: &mut Cuda) {
        let shape = self.shape;
        let ((items, key_items, [seq, heads, kv_heads, dim, causal]), at) = (sizes(shape), cuda.offsets(shape.sequences));
        let delta = cuda.scratch(self.lse.len());
        let (d_out, out, lse) = (cuda.read(self.d_out), cuda.read_values(self.out), cuda.read(self.lse));
        let ([q, k, v], in_half) = ([self.q, self.k, self.v].map(|x| cuda.read_values(x)), halves([self.q, self.k, self.v]));
        cuda.launch(items, backward::attention_backward_delta(delta, d_out, out, halves([self.out]), at, seq, heads, dim));
        let query = [backward::attention_backward_query_32, backward::attention_backward_query_64, backward::attention_backward_query_128];
        let call = by_width(shape.head_dim, query);
        cuda.launch(items, call(cuda.write(self.dq), d_out, lse, delta, q, k, v, in_half, at, seq, heads, kv_heads, dim, causal));
        let key_value = [
            backward::attention_backward_key_value_32,
            backward::attention_backward_key_value_64,
            backward::attention_backward_key_value_128,
        ];
        let call = by_width(shape.head_dim, key_value);
        let (dk, dv) = (cuda.write(self.dk), cuda.write(self.dv));
        for member in 0..size(shape.group()) {
            cuda.launch(key_items, call(dk, dv, d_out, lse, delta, q, k, v, in_half, at, seq, heads, kv_heads, dim, causal, member));
        }
    }
}
