//! Control instructions of a warp: returns, calls, branch tables and barriers.

use super::fault::{FaultKind, Outcome, fault};
use super::regs::{LANES, lanes};
use super::run::Exec;
use super::warp::{Group, Join, ROOT, State};
use crate::exec::program::{Barrier, BarrierKind, Inst, Op};

impl Exec<'_> {
    /// Executes a control instruction; says whether the group goes on.
    pub(super) fn control(&mut self, inst: &Inst, group: &mut Group, mask: u32) -> Outcome<bool> {
        let rest = group.mask & !mask;
        match inst.op {
            _ if mask == 0 => group.pc += 1,
            Op::Return | Op::Exit => {
                let call = if matches!(inst.op, Op::Return) { self.warp.call_of(group) } else { ROOT };
                if call == ROOT {
                    self.warp.exit(group, mask);
                } else {
                    self.warp.leave(group.join, call, mask);
                    self.warp.arrive(call, mask);
                }
                group.mask = rest;
                group.pc += 1;
                return Ok(rest != 0);
            }
            Op::Call { target } => {
                self.call(group, mask, target);
                return Ok(false);
            }
            Op::CallIndirect => {
                self.call_indirect(inst, group, mask)?;
                return Ok(false);
            }
            Op::BranchTable { reconverge } => {
                let parts = self.table_parts(inst, group, mask)?;
                self.warp.fork(group, parts, reconverge);
                return Ok(false);
            }
            Op::Barrier(barrier) => {
                if rest != 0 && !barrier.aligned {
                    self.warp.fork(group, [(group.pc + 1, rest), (group.pc, mask)], group.pc + 1);
                    return Ok(false);
                }
                return self.barrier(inst, barrier, group, mask);
            }
            Op::Trap => return fault(FaultKind::LaunchFailed, mask.trailing_zeros() as usize, "trap"),
            Op::Lanes(_) | Op::Access(_) | Op::Together(_) | Op::Branch { .. } => unreachable!("executed by the caller"),
        }
        Ok(true)
    }

    fn call(&mut self, group: &Group, mask: u32, target: u32) {
        let arrived = group.mask & !mask;
        let join = Join { pc: group.pc + 1, call: true, expected: group.mask, arrived, parent: group.join, callee: target };
        let join = self.warp.new_join(join);
        self.warp.groups.push(Group { pc: target, mask, join, state: State::Ready });
    }

    /// Calls one function; lanes that call another one come back to the call.
    fn call_indirect(&mut self, inst: &Inst, group: &Group, mask: u32) -> Outcome<()> {
        let first = mask.trailing_zeros() as usize;
        let address = self.warp.regs.get::<u64>(inst.a)[first];
        let row = self.warp.regs.get::<u64>(inst.a);
        let same = lanes(mask).filter(|&lane| row[lane] == address).fold(0, |same, lane| same | 1 << lane);
        let Some(&(_, target)) = self.launch.program.entries.iter().find(|(known, _)| *known == address) else {
            return fault(FaultKind::InvalidPc, first, format!("call of {address:#x}, which is no function"));
        };
        if self.warp.is_inside(group, target) {
            return fault(FaultKind::LaunchFailed, first, "recursive call through a pointer: recursion is not supported");
        }
        if same == mask {
            self.call(group, mask, target);
        } else {
            let parts = [(group.pc, same), (group.pc, mask & !same), (group.pc + 1, group.mask & !mask)];
            self.warp.fork(group, parts.into_iter().filter(|(_, mask)| *mask != 0), group.pc + 1);
        }
        Ok(())
    }

    /// Where the lanes go at a `brx.idx`.
    fn table_parts(&mut self, inst: &Inst, group: &Group, mask: u32) -> Outcome<Vec<(u32, u32)>> {
        let index = *self.warp.regs.get::<u32>(inst.a);
        let mut parts = vec![(group.pc + 1, group.mask & !mask)];
        for lane in lanes(mask) {
            let Some(&target) = inst.more.get(index[lane] as usize) else {
                let message = format!("index {} of a branch table with {} targets", index[lane], inst.more.len());
                return fault(FaultKind::InvalidPc, lane, message);
            };
            match parts.iter_mut().skip(1).find(|(pc, _)| *pc == target) {
                Some((_, lanes)) => *lanes |= 1 << lane,
                None => parts.push((target, 1 << lane)),
            }
        }
        parts.retain(|(_, mask)| *mask != 0);
        Ok(parts)
    }

    fn barrier(&mut self, inst: &Inst, barrier: Barrier, group: &mut Group, mask: u32) -> Outcome<bool> {
        let first = mask.trailing_zeros() as usize;
        if barrier.aligned && mask != self.warp.live {
            let elsewhere = self.warp.live & !mask;
            let message = format!("barrier divergence: lanes {mask:#010x} of the warp are here, lanes {elsewhere:#010x} are not");
            return fault(FaultKind::LaunchFailed, first, message);
        }
        let id = self.warp.regs.get::<u32>(inst.a)[first] as usize;
        let Some(state) = self.barriers.get_mut(id) else {
            return fault(FaultKind::LaunchFailed, first, format!("barrier {id}: a block has 16"));
        };
        let count = barrier.counted.then(|| self.warp.regs.get::<u32>(inst.b)[first]);
        if count.is_some_and(|count| count == 0 || count % LANES as u32 != 0) {
            return fault(FaultKind::LaunchFailed, first, format!("barrier with {} threads: not a multiple of 32", count.unwrap_or(0)));
        }
        let holds = match barrier.kind {
            BarrierKind::Sync | BarrierKind::Arrive => 0,
            _ => {
                let value = self.warp.regs.pred(inst.c);
                mask & if inst.variant == Inst::NEGATED { !value } else { value }
            }
        };
        let after = state.generation;
        state.arrive(self.warp.index, mask, barrier.aligned, count, holds);
        if barrier.kind == BarrierKind::Arrive {
            group.pc += 1;
            return Ok(true);
        }
        self.warp.groups.push(Group { state: State::Barrier { id, after }, ..*group });
        Ok(false)
    }
}

impl Inst {
    /// The variant of `bar.warp.sync`: its lanes may be at different places.
    pub const ANYWHERE: u8 = 1;
    /// The variant of `bar.red` with a negated predicate.
    pub const NEGATED: u8 = 1;
}
