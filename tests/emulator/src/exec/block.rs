//! A block: its warps take turns until all threads end.

use super::barrier::BarrierState;
use super::fault::{Fault, FaultKind, Outcome, fault};
use super::launch::{Launch, LaunchFault};
use super::regs::{LANES, Regs};
use super::run::{Exec, Pause};
use super::shared::Shared;
use super::warp::Warp;
use crate::exec::program::Special;
use crate::profile::Counters;

/// Barriers of a block.
const BARRIERS: usize = 16;

/// What a worker needs to execute blocks, one after the other.
#[derive(Default)]
pub struct Block {
    warps: Vec<Warp>,
    shared: Shared,
    barriers: [BarrierState; BARRIERS],
    /// What the blocks did.
    pub counters: Counters,
}

impl Block {
    /// Executes the block with these coordinates.
    pub fn run(&mut self, launch: &Launch, ctaid: [u32; 3]) -> Result<(), Box<LaunchFault>> {
        let threads: u32 = launch.block.iter().product();
        let warps = threads.div_ceil(LANES as u32);
        let program = launch.program;
        self.warps.resize_with(warps as usize, Warp::default);
        let bytes = program.shared_bytes + launch.dynamic_shared;
        self.shared.reset(bytes, program.granule, warps as usize, launch.checks.races, launch.checks.unwritten);
        self.barriers = Default::default();
        for index in 0..warps {
            let lanes = (threads - index * LANES as u32).min(LANES as u32);
            let warp = &mut self.warps[index as usize];
            warp.start(index, u32::MAX >> (LANES as u32 - lanes));
            warp.regs.reset(&program.constants, program.units, program.preds);
            warp.local.clear();
            warp.local.resize(program.local_bytes * LANES, 0);
            for &(special, slot) in &program.specials {
                set_special(&mut warp.regs, launch, ctaid, index, special, slot);
            }
        }
        self.take_turns(launch, ctaid)
    }

    fn take_turns(&mut self, launch: &Launch, ctaid: [u32; 3]) -> Result<(), Box<LaunchFault>> {
        loop {
            let mut moved = false;
            for at in 0..self.warps.len() {
                if self.warps[at].live == 0 {
                    continue;
                }
                let mut exec = Exec {
                    warp: &mut self.warps[at],
                    shared: &mut self.shared,
                    barriers: &mut self.barriers,
                    launch,
                    counters: &mut self.counters,
                    pc: 0,
                };
                match exec.run() {
                    Ok(pause) => moved |= pause != Pause::Blocked,
                    Err(fault) => {
                        let pc = exec.pc;
                        return Err(self.locate(launch, ctaid, at, pc, *fault));
                    }
                }
            }
            if self.warps.iter().all(|warp| warp.live == 0) {
                return Ok(());
            }
            moved |= self.complete_barriers();
            let late = launch.deadline.is_some_and(|deadline| std::time::Instant::now() > deadline);
            let stuck: Outcome<()> = match (moved, late) {
                (true, false) => continue,
                (_, true) => fault(FaultKind::Timeout, None, "the launch takes longer than PTX_EMU_TIMEOUT seconds"),
                (false, _) => fault(FaultKind::LaunchFailed, None, self.deadlock(launch)),
            };
            let at = self.warps.iter().position(|warp| warp.live != 0).expect("one is live");
            let pc = self.warps[at].waiting().next().map_or(0, |(pc, _)| pc);
            return Err(self.locate(launch, ctaid, at, pc, *stuck.expect_err("it is a fault")));
        }
    }

    /// Completes the barriers at which all threads have arrived.
    fn complete_barriers(&mut self) -> bool {
        let live = self.warps.iter().map(|warp| warp.live.count_ones()).sum();
        let mut any = false;
        for barrier in self.barriers.iter_mut().filter(|barrier| barrier.is_complete(live)) {
            self.shared.barrier(barrier.warps);
            barrier.complete();
            any = true;
        }
        any
    }

    fn deadlock(&self, launch: &Launch) -> String {
        let mut message = "deadlock: every thread waits at a barrier that the others never reach:".to_string();
        for warp in self.warps.iter().filter(|warp| warp.live != 0) {
            for (pc, mask) in warp.waiting() {
                message += &format!(" warp {} lanes {mask:#010x} at line {};", warp.index, launch.program.lines[pc as usize]);
            }
        }
        message
    }

    fn locate(&self, launch: &Launch, ctaid: [u32; 3], warp: usize, pc: u32, fault: Fault) -> Box<LaunchFault> {
        let lane = fault.lane.unwrap_or(0) as u32;
        let thread = coordinates(warp as u32 * LANES as u32 + lane, launch.block);
        let line = launch.program.lines[pc as usize];
        Box::new(LaunchFault { kind: fault.kind, kernel: launch.program.name.clone(), line, block: ctaid, thread, message: fault.message })
    }
}

/// Coordinates of the thread or block with this linear index.
pub fn coordinates(index: u32, size: [u32; 3]) -> [u32; 3] {
    [index % size[0], index / size[0] % size[1], index / size[0] / size[1]]
}

fn set_special(regs: &mut Regs, launch: &Launch, ctaid: [u32; 3], warp: u32, special: Special, slot: u32) {
    let per_lane = |f: &dyn Fn(u32) -> u32| std::array::from_fn(|lane| f(lane as u32));
    let threads: u32 = launch.block.iter().product();
    let values = match special {
        Special::Tid(axis) => per_lane(&|lane| coordinates(warp * LANES as u32 + lane, launch.block)[axis as usize]),
        Special::Ntid(axis) => [launch.block[axis as usize]; LANES],
        Special::Ctaid(axis) => [ctaid[axis as usize]; LANES],
        Special::Nctaid(axis) => [launch.grid[axis as usize]; LANES],
        Special::LaneId => per_lane(&|lane| lane),
        Special::WarpId => [warp; LANES],
        Special::NWarpId => [threads.div_ceil(LANES as u32); LANES],
        Special::LaneMaskEq => per_lane(&|lane| 1 << lane),
        Special::LaneMaskLt => per_lane(&|lane| (1 << lane) - 1),
        Special::LaneMaskLe => per_lane(&|lane| u32::MAX >> (31 - lane)),
        Special::LaneMaskGt => per_lane(&|lane| !(u32::MAX >> (31 - lane))),
        Special::LaneMaskGe => per_lane(&|lane| u32::MAX << lane),
        Special::DynamicSharedSize => [launch.dynamic_shared as u32; LANES],
        Special::TotalSharedSize => [(launch.dynamic_shared + launch.program.shared_bytes) as u32; LANES],
        Special::GridId => return regs.set(slot, u32::MAX, &[launch.id; LANES]),
    };
    regs.set(slot, u32::MAX, &values);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_run_along_x_first() {
        assert_eq!(coordinates(0, [4, 3, 2]), [0, 0, 0]);
        assert_eq!(coordinates(5, [4, 3, 2]), [1, 1, 0]);
        assert_eq!(coordinates(23, [4, 3, 2]), [3, 2, 1]);
    }
}
