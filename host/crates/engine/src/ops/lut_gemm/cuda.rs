//! Many tokens' product on CUDA: that of [`Linear`].

use super::LutGemm;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::ops::Linear;

impl RunOn<Cuda> for LutGemm {
    fn run_on(self, cuda: &mut Cuda) {
        Linear { y: self.y.into(), x: self.x, weight: self.weight, rows: self.rows }.run_on(cuda);
    }
}
