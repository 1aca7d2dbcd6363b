//! Softmax cross entropy on CUDA.

use primal_device::kernels::cross_entropy as kernels;

use super::CrossEntropy;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for CrossEntropy {
    fn run_on(self, cuda: &mut Cuda) {
        let rows = self.losses.len();
        let (stride, vocab) = (size(self.logits.len() / rows), size(self.vocab));
        let (logits, losses, targets) = (cuda.write(self.logits), cuda.write(self.losses), cuda.read(self.targets));
        cuda.launch([rows, 1], kernels::cross_entropy(logits, losses, targets, vocab, stride, self.gradient_scale));
    }
}
