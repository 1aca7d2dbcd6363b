//! SwiGLU on CUDA.

use primal_device::kernels::swiglu as kernels;

use super::{Swiglu, SwigluBackward};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for Swiglu {
    fn run_on(self, cuda: &mut Cuda) {
        let n = self.y.len();
        let (y, gate, up) = (cuda.write(self.y), cuda.read(self.gate), cuda.read(self.up));
        cuda.launch([n, 1], kernels::swiglu(y, gate, up, size(n)));
    }
}

impl RunOn<Cuda> for SwigluBackward {
    fn run_on(self, cuda: &mut Cuda) {
        let n = self.dy.len();
        let (dy, gate, up) = (cuda.read(self.dy), cuda.read(self.gate), cuda.read(self.up));
        cuda.launch([n, 1], kernels::swiglu_backward_gate(cuda.write(self.d_gate), dy, gate, up, size(n)));
        cuda.launch([n, 1], kernels::swiglu_backward_up(cuda.write(self.d_up), dy, gate, size(n)));
    }
}
