//! Rows of a weight by number on CUDA.

use primal_device::kernels::lookup as kernels;

use super::Lookup;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::{no_blocks, size};
use crate::backend::{RunOn, Storage};
use crate::ops::Gather;

impl RunOn<Cuda> for Lookup {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { y, weight, ids } = self;
        let w = match weight.storage {
            Storage::Float(table) => return Gather { y, table, ids, dim: weight.in_features, accumulate: false }.run_on(cuda),
            Storage::Grid(w) => w,
            Storage::Blocks(_) => no_blocks(),
        };
        let ((scale, step, offset), grid) = (cuda.scales(&w).of_any_form(), cuda.grid(w.grid));
        let (y, codes, rows) = (cuda.write(y), cuda.read(w.codes), ids.len());
        cuda.launch([rows, 1], kernels::lookup(y, codes, scale, step, offset, grid, cuda.read(ids), size(weight.in_features)));
    }
}
