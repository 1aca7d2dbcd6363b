//! Softmax attention over cached keys and values on CUDA.

use primal_device::kernels::{attention, cached_attention as kernels};

use super::CachedAttention;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{halves, size};
use crate::ops::attention::cuda::by_width;

impl RunOn<Cuda> for CachedAttention {
    fn run_on(self, cuda: &mut Cuda) {
        let [rows, tokens] = self.shape();
        let Self { heads, kv_heads, head_dim, .. } = self;
        let (out, q, k, v) = (cuda.write(self.out), cuda.read(self.q), cuda.read_values(self.k), cuda.read_values(self.v));
        let [of_heads, of_kv_heads, dim] = [heads, kv_heads, head_dim].map(size);
        if rows == 1 {
            cuda.launch(
                [heads, 1],
                kernels::cached_attention(out, q, k, v, halves([self.k, self.v]), size(tokens), of_heads, of_kv_heads, dim),
            );
        } else {
            let lse = cuda.scratch(rows * heads);
            let forward = [attention::attention_32, attention::attention_64, attention::attention_128];
            let call = by_width(head_dim, forward);
            let past = size(tokens - rows);
            let (out, q, in_half) = (out.cast(), q.cast(), halves([self.out.into(), self.q.into(), self.k, self.v]));
            cuda.launch([rows, heads], call(out, lse, q, k, v, in_half, std::ptr::null(), size(rows), past, of_heads, of_kv_heads, dim, 1));
        }
    }
}
