//! What the CUDA back end adds to a plan: known without CUDA, so that any build can say what a run would take on a GPU.

use crate::arena::{Kind, Plan, Span};

/// Values of a span's tensor that share one value of scratch: partial sums of 64 rows, two a column.
const VALUES_PER_SCRATCH: usize = 32;
/// Values of scratch for what does not grow with the tensors.
const LEAST_SCRATCH: usize = 1 << 16;

/// Adds the ops' own scratch to the plan of all else.
pub fn plan(plan: &mut Plan) -> Span<f32> {
    let largest = plan.entries().iter().map(|entry| entry.bytes / size_of::<f32>()).max().unwrap_or(0);
    plan.span(Kind::Scratch, "cuda.scratch", largest / VALUES_PER_SCRATCH + LEAST_SCRATCH)
}
