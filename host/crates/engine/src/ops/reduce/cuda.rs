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
        let (n, sum) = (self.x.len(), cuda.write(self.sum));
        let (x, halves) = (cuda.read_values(self.x), halves([self.x]));
        if n <= kernels::BLOCK as usize {
            return cuda.launch([1, 1], kernels::sum_block(sum, x, halves, 0, 0, size(n)));
        }
        let (partial, chunks) = chunks(cuda, n);
        cuda.launch([n, 1], kernels::sum_chunks(partial, x, halves, size(n)));
        cuda.launch([1, 1], kernels::sum_finish(sum, partial, size(chunks), 0));
    }
}

impl RunOn<Cuda> for SumSquares {
    fn run_on(self, cuda: &mut Cuda) {
        let (n, sum, x) = (self.x.len(), cuda.write(self.sum), cuda.read(self.x));
        if n <= kernels::BLOCK as usize {
            return cuda.launch([1, 1], kernels::sum_block(sum, x.cast(), 0, 1, 1, size(n)));
        }
        let (partial, chunks) = chunks(cuda, n);
        cuda.launch([n, 1], kernels::sum_squares_chunks(partial, x, size(n)));
        cuda.launch([1, 1], kernels::sum_finish(sum, partial, size(chunks), 1));
    }
}
