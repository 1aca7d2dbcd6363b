//! Token and position embeddings on CUDA.

use primal_device::kernels::embedding as kernels;

use super::{Embedding, EmbeddingBackward};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{halves, size};

impl RunOn<Cuda> for Embedding {
    fn run_on(self, cuda: &mut Cuda) {
        let (y, in_half) = (cuda.write_values(self.y), halves([self.y]));
        let (table, positions, ids) = (cuda.read(self.table), cuda.read(self.positions), cuda.read(self.ids));
        cuda.launch([self.ids.len(), 1], kernels::embedding(y, in_half, table, positions, ids, size(self.seq), size(self.dim)));
    }
}

impl RunOn<Cuda> for EmbeddingBackward {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { seq, dim, .. } = self;
        let (tokens, dy, ids, order) = (self.ids.len(), cuda.read(self.dy), cuda.read(self.ids), cuda.read(self.order));
        let table = kernels::embedding_backward_table(cuda.write(self.d_table), dy, ids, order, size(tokens), size(dim));
        cuda.launch([tokens, dim], table);
        let positions = kernels::embedding_backward_positions(cuda.write(self.d_positions), dy, size(tokens), size(seq), size(dim));
        cuda.launch([seq, dim], positions);
    }
}
