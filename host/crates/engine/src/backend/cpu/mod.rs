//! The CPU back end: the reference and the default device.
//!
//! Results do not depend on the number of threads: work is cut into tasks by shape alone, and sums are taken in a fixed order.

pub mod adamw;
pub mod add;
pub mod attention;
pub mod bias;
pub mod cached_attention;
pub mod conv1d;
pub mod conv_transpose1d;
pub mod cross_entropy;
pub mod embedding;
mod exp;
pub mod gather;
pub mod gelu;
pub mod gemm;
pub mod layer_norm;
pub mod leaky_relu;
pub mod linear;
pub mod lut_gemv;
pub mod memory;
mod ops;
pub mod reduce;
pub mod regression;
pub mod sequences;
pub mod tanh;
pub mod unpack;
pub mod vote;
pub mod windows;

use linear::Values;
use memory::{Memory, Parts};
use sequences::Bounds;
use unpack::Codes;

use super::{Device, GridWeight, Sequences, Storage, Weight};
use crate::Result;
use crate::memory::{Kind, Plan, Span};

/// The CPU as a device.
pub struct Cpu {
    memory: Memory,
    scratch: Span<f32>,
}

/// What an op on a weight works with.
struct Operands<'a> {
    /// Written.
    y: &'a mut [f32],
    /// Read.
    x: &'a [f32],
    /// The weight.
    values: Values<'a>,
    /// Empty if there is none.
    bias: &'a [f32],
    /// Which rows belong together.
    bounds: Bounds<'a>,
    /// Of all threads.
    scratch: &'a mut [f32],
}

/// `f32` values of scratch that each thread has for packing panels and for rows of attention scores.
pub const SCRATCH_PER_THREAD: usize = 256 * 1024;

impl Cpu {
    /// Adds the ops' own scratch to the plan.
    pub fn plan_scratch(plan: &mut Plan) -> Span<f32> {
        plan.span(Kind::Scratch, "cpu.scratch", SCRATCH_PER_THREAD * rayon::current_num_threads())
    }

    /// Plans the scratch and allocates the arena. Ops must run on the pool of the calling thread.
    pub fn new(plan: &mut Plan) -> Self {
        let scratch = Self::plan_scratch(plan);
        Self { memory: Memory::new(plan.total_bytes()), scratch }
    }

    /// Runs `op` on y, x, a weight, and what else it may need.
    fn with_values(
        &mut self,
        [y, x]: [Span<f32>; 2],
        weight: &Weight,
        bias: Option<Span<f32>>,
        sequences: Sequences,
        op: impl FnOnce(Operands),
    ) {
        let (bias, offsets) = (bias.unwrap_or(Span::new(0, 0, 0)), offsets(sequences));
        let bounds = |offsets| Bounds::new(sequences, offsets);
        match weight.storage {
            Storage::Grid(grid) => {
                let ((y, scratch), (x, codes, scale, bias, offsets)) =
                    self.memory.split((y, self.scratch), (x, grid.codes, grid.scale, bias, offsets));
                let values = Values::Grid(Codes::new(codes, scale, grid.grid.grid(), weight.in_features));
                op(Operands { y, x, values, bias, bounds: bounds(offsets), scratch });
            }
            Storage::Float(values) => {
                let ((y, scratch), (x, values, bias, offsets)) = self.memory.split((y, self.scratch), (x, values, bias, offsets));
                op(Operands { y, x, values: Values::Float(values), bias, bounds: bounds(offsets), scratch });
            }
        }
    }

    fn write_counts(&mut self, to: Span<u32>, counts: vote::Counts) {
        self.memory.write(to).copy_from_slice(&[counts.flipped, counts.at_rail]);
    }
}

/// The offsets of ragged sequences; none of equal ones.
fn offsets(sequences: Sequences) -> Span<u32> {
    match sequences {
        Sequences::Equal { .. } => Span::new(0, 0, 0),
        Sequences::Ragged { offsets, .. } => offsets,
    }
}

fn codes<'a>(weight: &Weight, grid: &GridWeight, codes: &'a [u8], scale: &'a [f32]) -> Codes<'a> {
    Codes::new(codes, scale, grid.grid.grid(), weight.in_features)
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

impl Device for Cpu {
    fn plan_scratch(plan: &mut Plan) {
        Self::plan_scratch(plan);
    }

    fn available_memory() -> Result<Option<usize>> {
        Ok(memory::available())
    }

    fn open(plan: &mut Plan) -> Result<Self> {
        Ok(Self::new(plan))
    }

    fn arena_bytes(&self) -> usize {
        self.memory.arena_bytes()
    }

    fn describe() -> Result<Vec<(&'static str, String)>> {
        let memory = memory::available().map_or("unknown".to_owned(), |bytes| format!("{} MiB free", bytes >> 20));
        Ok(vec![("device", "CPU".to_owned()), ("threads", rayon::current_num_threads().to_string()), ("memory", memory)])
    }
}
