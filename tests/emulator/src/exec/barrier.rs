//! A block's barriers: who has arrived, and what `bar.red` found.

use super::regs::{LANES, Regs};
use crate::exec::program::{BarrierKind, Inst, Op};

/// One of a block's barriers.
#[derive(Clone, Copy, Debug, Default)]
pub struct BarrierState {
    /// How often it was completed.
    pub generation: u32,
    /// Threads that arrived, and the same with partly filled warps counted as full.
    arrived: u32,
    arrived_full: u32,
    expected: Option<u32>,
    /// A bit for each warp that arrived.
    pub warps: u32,
    holds: u32,
    /// Of the last completed generation: threads in all, and those whose predicate held.
    result: (u32, u32),
}

impl BarrierState {
    /// Lanes of a warp arrive; in those of `holds` the predicate is true.
    pub fn arrive(&mut self, warp: u32, mask: u32, aligned: bool, expected: Option<u32>, holds: u32) {
        self.arrived += mask.count_ones();
        self.arrived_full += if aligned { LANES as u32 } else { mask.count_ones() };
        self.expected = expected;
        self.warps |= 1 << warp;
        self.holds += holds.count_ones();
    }

    pub fn is_complete(&self, live: u32) -> bool {
        self.arrived > 0
            && match self.expected {
                Some(expected) => self.arrived_full >= expected,
                None => self.arrived >= live,
            }
    }

    pub fn complete(&mut self) {
        let result = (self.arrived, self.holds);
        *self = Self { generation: self.generation.wrapping_add(1), result, ..Self::default() };
    }

    /// Gives a waiting group the result of `bar.red`.
    pub fn deliver(&self, regs: &mut Regs, inst: &Inst, mask: u32) {
        let Op::Barrier(barrier) = inst.op else { return };
        let (threads, holds) = self.result;
        match barrier.kind {
            BarrierKind::Popc => regs.set(inst.d, mask, &[holds; LANES]),
            BarrierKind::And => regs.set_pred(inst.d, mask, if holds == threads { u32::MAX } else { 0 }),
            BarrierKind::Or => regs.set_pred(inst.d, mask, if holds > 0 { u32::MAX } else { 0 }),
            BarrierKind::Sync | BarrierKind::Arrive => {}
        }
    }
}
