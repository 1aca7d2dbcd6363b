//! Many tokens' `y = x · Wᵀ` in integers on the CPU.
//!
//! A block of rows and inputs is rounded once; then each task takes some outputs, unpacks their weights a panel at a time, and multiplies all rows of the
//! block by it. Running sums are kept in y from block to block, so results depend neither on threads nor on how the work is cut.

use std::sync::OnceLock;

use primal_device::grid::GROUP;
use rayon::prelude::*;

use super::LutGemm;
use super::kernels::{Activations, Kernel, ROWS, Sums};
use super::panel::{GROUPS, OUTPUTS, Panel};
use crate::backend::cpu::Cpu;
use crate::backend::cpu::activations::Values;
use crate::backend::cpu::integers::{self, GROUP_WORDS, Levels, Order, Rounded};
use crate::backend::cpu::memory::Parts;
use crate::backend::cpu::scratch::{HALF, first_half_of_thread, second_half};
use crate::backend::cpu::unpack::Codes;
use crate::backend::{RunOn, Scales, Storage};
use crate::ops::Linear;

/// Rows of a block, at most.
const BLOCK_ROWS: usize = 256;
/// Multiply-adds that are worth a task of their own.
const TASK: usize = 1 << 19;

impl RunOn<Cpu> for LutGemm {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { y, x, weight, rows } = self;
        if let Storage::Grid(grid) = weight.storage {
            let ((y, scratch), (x, codes, scales)) = cpu.split((y, cpu.scratch()), (x, grid.codes, grid.scales));
            let w = Codes::new(codes, scales, grid.grid, weight.in_features);
            static BEST: OnceLock<Kernel> = OnceLock::new();
            let kernel = BEST.get_or_init(|| Kernel::all()[0]);
            if lut_gemm(y, rows, x, &w, kernel, scratch) {
                return;
            }
        }
        Linear { y: self.y.into(), x: self.x, weight, rows }.run_on(cpu);
    }
}

/// Writes `y = x · Wᵀ`; y `[rows, stride]`, x `[rows, inputs]`. False, and nothing is written, if the weight's grid has no fitting integers.
pub fn lut_gemm(y: &mut [f32], rows: usize, x: Values, w: &Codes, kernel: &Kernel, scratch: &mut [f32]) -> bool {
    let Some(levels) = Levels::new(w) else { return false };
    if rows == 0 {
        return true;
    }
    let (inputs, stride, outputs) = (x.len() / rows, y.len() / rows, w.codes.len() / w.row_bytes);
    assert!(x.len() == rows * inputs && y.len() == rows * stride && outputs <= stride, "the product's shape");
    assert_eq!(inputs.next_multiple_of(GROUP), 2 * w.row_bytes, "inputs of a weight");
    let groups = 2 * w.row_bytes / GROUP;
    let offsets = matches!(w.scaling.scales, Scales::Group32Offset { .. });
    let (y, scratch) = (Parts::new(y), Parts::new(scratch));
    for first_row in (0..rows).step_by(BLOCK_ROWS) {
        let rows = BLOCK_ROWS.min(rows - first_row);
        let most = (HALF / (rows * GROUP_WORDS) / GROUPS * GROUPS).min(groups);
        for first_group in (0..groups).step_by(most) {
            let count = most.min(groups - first_group);
            let place = Block { first_row, rows, first_group, groups: count };
            // SAFETY: no other slice of the second half is alive.
            let block = unsafe { second_half(&scratch, 0, rows * count * GROUP_WORDS) };
            let x = round(block, x, inputs, place, levels.lowest, &scratch);
            let panels = outputs.div_ceil(OUTPUTS);
            let of_panel = count.div_ceil(count.div_ceil(GROUPS));
            let least = TASK.div_ceil(rows * count * GROUP * OUTPUTS);
            (0..panels).into_par_iter().with_min_len(least).for_each(|task| {
                // SAFETY: one scratch a thread, and the task does not nest; a panel is of plain numbers, and has room and alignment there.
                let panel = unsafe { &mut *panel_of(first_half_of_thread(&scratch)) };
                let output = task * OUTPUTS;
                let columns = OUTPUTS.min(outputs - output);
                for group in (0..count).step_by(of_panel) {
                    let groups = of_panel.min(count - group);
                    panel.fill(w, &levels, kernel, [output, first_group + group, groups]);
                    for row in (0..rows).step_by(ROWS) {
                        let rows = ROWS.min(rows - row);
                        let (x, fresh) = (x.from(row, rows, group), first_group + group == 0);
                        let multiply = |sums| {
                            // SAFETY: `Kernel::all` gives only those that this processor can run; the sums are this task's alone.
                            unsafe { (kernel.multiply)(sums, &x, panel, [rows, groups], offsets, levels.largest) };
                        };
                        let at = (first_row + row) * stride + output;
                        if columns == OUTPUTS {
                            multiply(Sums { start: y.base().wrapping_add(at), stride, fresh });
                            continue;
                        }
                        let mut sums = [0.0; ROWS * OUTPUTS];
                        for (i, sums) in sums.chunks_exact_mut(OUTPUTS).enumerate().take(rows) {
                            // SAFETY: a task's columns are its alone.
                            sums[..columns].copy_from_slice(unsafe { y.part(at + i * stride, columns) });
                        }
                        multiply(Sums { start: sums.as_mut_ptr(), stride: OUTPUTS, fresh });
                        for (i, sums) in sums.chunks_exact(OUTPUTS).enumerate().take(rows) {
                            // SAFETY: as above.
                            unsafe { y.part(at + i * stride, columns) }.copy_from_slice(&sums[..columns]);
                        }
                    }
                }
            });
        }
    }
    true
}

/// A panel's place in a thread's scratch.
fn panel_of(scratch: &mut [f32]) -> *mut Panel {
    let start = scratch.as_ptr().align_offset(align_of::<Panel>());
    scratch[start..][..size_of::<Panel>() / size_of::<f32>()].as_mut_ptr().cast()
}

/// Rows and groups of activations that are rounded together.
#[derive(Clone, Copy)]
struct Block {
    first_row: usize,
    rows: usize,
    first_group: usize,
    groups: usize,
}

/// Rounds a block of activations to `words`, [`GROUP_WORDS`] for each group.
fn round<'a>(words: &'a mut [f32], x: Values, inputs: usize, at: Block, lowest: i32, scratch: &Parts<f32>) -> Activations<'a> {
    let Block { rows, groups, .. } = at;
    let (q, words) = words.split_at_mut(rows * groups * GROUP / 4);
    let (steps, words) = words.split_at_mut(rows * groups);
    let (starts, sums) = words.split_at_mut(rows * groups);
    let (q, starts): (&mut [i8], &mut [i32]) = (bytemuck::cast_slice_mut(q), bytemuck::cast_slice_mut(starts));
    let of_rows = q.par_chunks_exact_mut(groups * GROUP).zip(steps.par_chunks_exact_mut(groups));
    let of_rows = of_rows.zip(starts.par_chunks_exact_mut(groups)).zip(sums.par_chunks_exact_mut(groups)).enumerate();
    of_rows.with_min_len(TASK.div_ceil(32 * groups * GROUP)).for_each(|(row, (((q, steps), starts), sums))| {
        let first = at.first_group * GROUP;
        let len = (groups * GROUP).min(inputs - first);
        // SAFETY: one scratch a thread, and the task does not nest.
        let x = x.widened((at.first_row + row) * inputs + first, len, unsafe { first_half_of_thread(scratch) });
        integers::round(Rounded { q, steps, starts, sums }, x, lowest, Order::Nibbles);
    });
    Activations { q, steps, starts, sums, groups }
}
