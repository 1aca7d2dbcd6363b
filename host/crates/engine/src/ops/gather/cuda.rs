//! Rows of a table by number on CUDA.

use primal_device::kernels::gather as kernels;

use super::{Gather, GatherBackward};
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for Gather {
    fn run_on(self, cuda: &mut Cuda) {
        let (y, table, ids) = (cuda.write(self.y), cuda.read(self.table), cuda.read(self.ids));
        cuda.launch([self.ids.len(), 1], kernels::gather(y, table, ids, size(self.dim), u32::from(self.accumulate)));
    }
}

impl RunOn<Cuda> for GatherBackward {
    fn run_on(self, cuda: &mut Cuda) {
        let (rows, dim) = (self.ids.len(), self.dim);
        let entries = self.d_table.len() / dim;
        let extent = cuda.scratch(2 * entries).cast::<u32>();
        let (d_table, dy, ids) = (cuda.write(self.d_table), cuda.read(self.dy), cuda.read(self.ids));
        cuda.zero(cuda.scratch_span(2 * entries));
        cuda.launch([rows, 1], kernels::gather_backward_extent(extent, ids, size(rows)));
        cuda.launch([entries, dim], kernels::gather_backward(d_table, dy, ids, extent, size(rows), size(dim)));
    }
}
