//! The CPU back end: the reference and the default device.
//!
//! Results do not depend on the number of threads: work is cut into tasks by shape alone, and sums are taken in a fixed order.

pub mod gemm;
pub mod linear;
pub mod memory;
pub mod unpack;
pub mod vote;

use memory::{Memory, Parts};

use crate::arena::{Kind, Plan, Span};

/// The CPU as a device.
pub struct Cpu {
    memory: Memory,
    scratch: Span<f32>,
}

/// `f32` values of scratch that each thread has for packing panels and for rows of attention scores.
pub const SCRATCH_PER_THREAD: usize = 256 * 1024;

impl Cpu {
    /// Adds the ops' own scratch to the plan.
    pub fn plan_scratch(plan: &mut Plan) -> Span<f32> {
        plan.span(Kind::Scratch, "cpu.scratch", SCRATCH_PER_THREAD * rayon::current_num_threads())
    }

    /// Plans the scratch and allocates the arena.
    pub fn new(plan: &mut Plan) -> Self {
        let scratch = Self::plan_scratch(plan);
        Self { memory: Memory::new(plan.total_bytes()), scratch }
    }
}

/// The scratch of the calling thread, from [`Parts`] over the whole scratch span.
///
/// # Safety
/// The caller must not hold another slice from it, and must be a task of the pool that the back end was made for (or the only thread).
#[expect(clippy::mut_from_ref, reason = "one slice a thread")]
pub(crate) unsafe fn thread_scratch<'a>(scratch: &'a Parts<'_, f32>) -> &'a mut [f32] {
    let index = rayon::current_thread_index().unwrap_or(0);
    // SAFETY: one part a thread, by the caller's contract.
    unsafe { scratch.part(index * SCRATCH_PER_THREAD, SCRATCH_PER_THREAD) }
}
