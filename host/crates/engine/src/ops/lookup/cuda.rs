//! Rows of a weight by number on CUDA.

use super::Lookup;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::no_blocks;
use crate::backend::{RunOn, Storage};
use crate::ops::Gather;

impl RunOn<Cuda> for Lookup {
    fn run_on(self, cuda: &mut Cuda) {
        let Self { y, weight, ids } = self;
        match weight.storage {
            Storage::Float(table) => Gather { y, table, ids, dim: weight.in_features, accumulate: false }.run_on(cuda),
            Storage::Grid(_) | Storage::Blocks(_) => no_blocks(),
        }
    }
}
