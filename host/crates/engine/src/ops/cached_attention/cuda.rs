//! Softmax attention of one query on CUDA.

use primal_device::kernels::cached_attention as kernels;

use super::CachedAttention;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for CachedAttention {
    fn run_on(self, cuda: &mut Cuda) {
        let heads = self.heads;
        let (dim, tokens) = (self.q.len() / heads, self.k.len() / self.q.len());
        let (out, q, k, v) = (cuda.write(self.out), cuda.read(self.q), cuda.read(self.k), cuda.read(self.v));
        cuda.launch([heads, 1], kernels::cached_attention(out, q, k, v, size(tokens), size(heads), size(dim)));
    }
}
