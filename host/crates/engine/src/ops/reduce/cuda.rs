//! Sums on CUDA.

use primal_device::kernels::reduce as kernels;

use super::{Sum, SumSquares};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{halves, size};

/// Where the sums of the chunks of `n` values go, and how many they are.
fn chunks(cuda: &Cuda, n: usize) -> (*mut f32, usize) {
    let chunks = n.div_ceil(kernels::CHUNK as usize);
    (cuda.scratch(chunks), chunks)
}

impl RunOn<Cuda> for Sum {
    fn run_on(self, cuda: &mut Cuda) {
        let (n, (partial, chunks)) = (self.x.len(), chunks(cuda, self.x.len()));
        cuda.launch([n, 1], kernels::sum_chunks(partial, cuda.read_values(self.x), halves([self.x]), size(n)));
        cuda.launch([1, 1], kernels::sum_finish(cuda.write(self.sum), partial, size(chunks), 0));
    }
}

impl RunOn<Cuda> for SumSquares {
    fn run_on(self, cuda: &mut Cuda) {
        let (n, (partial, chunks)) = (self.x.len(), chunks(cuda, self.x.len()));
        cuda.launch([n, 1], kernels::sum_squares_chunks(partial, cuda.read(self.x), size(n)));
        cuda.launch([1, 1], kernels::sum_finish(cuda.write(self.sum), partial, size(chunks), 1));
    }
}
