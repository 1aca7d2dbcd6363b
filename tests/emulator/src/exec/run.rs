//! How a warp runs: its groups in turn, one instruction after the other.

use super::barrier::BarrierState;
use super::fault::{FaultKind, Outcome, fault};
use super::launch::Launch;
use super::regs::lanes;
use super::shared::Shared;
use super::warp::{Group, State, Warp};
use crate::exec::program::{AccessOp, Guard, Inst, NOWHERE, Op};
use crate::profile::Counters;

/// Taken branches after which a warp lets others run.
const SLICE: u32 = 20_000;
/// Why a warp stopped running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// All its threads ended.
    Done,
    /// It waits for a barrier.
    Blocked,
    /// The time slice is over.
    Sliced,
}

/// A warp while it runs, with all that it can reach.
pub struct Exec<'a> {
    /// The warp.
    pub warp: &'a mut Warp,
    /// Shared memory of its block.
    pub shared: &'a mut Shared,
    /// Barriers of its block.
    pub barriers: &'a mut [BarrierState],
    /// The launch it belongs to.
    pub launch: &'a Launch<'a>,
    /// What it did.
    pub counters: &'a mut Counters,
    /// The instruction being executed.
    pub pc: u32,
}

impl Exec<'_> {
    /// Runs until all groups end or wait, or the time slice is over.
    pub fn run(&mut self) -> Outcome<Pause> {
        let mut budget = SLICE;
        while let Some(group) = self.next_group()? {
            if self.launch.profile {
                self.advance::<true>(group, &mut budget)?;
            } else {
                self.advance::<false>(group, &mut budget)?;
            }
            if budget == 0 {
                self.warp.groups.rotate_right(1);
                return Ok(Pause::Sliced);
            }
        }
        if self.warp.live == 0 {
            self.finish_copies(None)?;
            return Ok(Pause::Done);
        }
        Ok(Pause::Blocked)
    }

    /// Takes out the group to run next.
    fn next_group(&mut self) -> Outcome<Option<Group>> {
        if let Some(last) = self.warp.groups.pop() {
            if last.state == State::Ready {
                return Ok(Some(last));
            }
            self.warp.groups.push(last);
        }
        let barriers = &*self.barriers;
        for group in &mut self.warp.groups {
            if let State::Barrier { id, after } = group.state
                && barriers[id].generation != after
            {
                group.state = State::Ready;
                let inst = &self.launch.program.code[group.pc as usize];
                barriers[id].deliver(&mut self.warp.regs, inst, group.mask);
                group.pc += 1;
            }
        }
        self.execute_together()?;
        let ready = self.warp.groups.iter().rposition(|group| group.state == State::Ready);
        if ready.is_none() && !self.warp.groups.is_empty() && !self.warp.groups.iter().any(|g| matches!(g.state, State::Barrier { .. })) {
            return self.never_together();
        }
        Ok(ready.map(|at| self.warp.groups.remove(at)))
    }

    /// Executes an instruction for which all members have arrived, in one or several groups.
    fn execute_together(&mut self) -> Outcome<()> {
        for at in 0..self.warp.groups.len() {
            let first = self.warp.groups[at];
            let State::Together { members } = first.state else { continue };
            let inst = &self.launch.program.code[first.pc as usize];
            // `bar.warp.sync` moves no data, so its lanes may stand at different places.
            let anywhere = inst.variant == Inst::ANYWHERE;
            let same = |g: &Group| g.state == first.state && (anywhere || g.pc == first.pc);
            let present = self.warp.groups.iter().filter(|g| same(g)).fold(0, |mask, g| mask | g.mask);
            if present != members & self.warp.live {
                continue;
            }
            for group in self.warp.groups.iter_mut().filter(|g| same(g)) {
                group.pc += 1;
                group.state = State::Ready;
            }
            self.pc = first.pc;
            if let Op::Together(op) = inst.op {
                op(self, inst, present)?;
            }
        }
        Ok(())
    }

    fn never_together<T>(&mut self) -> Outcome<T> {
        let group = self.warp.groups[0];
        let State::Together { members } = group.state else { unreachable!("no group is ready or at a barrier") };
        self.pc = group.pc;
        let missing = members & self.warp.live & !group.mask;
        fault(
            FaultKind::LaunchFailed,
            group.mask.trailing_zeros() as usize,
            format!("member mask {members:#010x} names lanes {missing:#010x}, which never come here"),
        )
    }

    /// Runs a group until it ends, splits or waits.
    fn advance<const PROFILE: bool>(&mut self, mut group: Group, budget: &mut u32) -> Outcome<()> {
        let program = self.launch.program;
        let join = &self.warp.joins[group.join];
        let reconverge = if join.call { NOWHERE } else { join.pc };
        loop {
            if group.pc == reconverge {
                self.warp.arrive(group.join, group.mask);
                return Ok(());
            }
            let inst = &program.code[group.pc as usize];
            let mask = match inst.guard {
                Guard::Always => group.mask,
                Guard::If(pred) => group.mask & self.warp.regs.pred(pred),
                Guard::IfNot(pred) => group.mask & !self.warp.regs.pred(pred),
            };
            if PROFILE {
                self.counters.note(inst.class, mask);
            }
            self.pc = group.pc;
            match inst.op {
                Op::Lanes(op) => {
                    op(&mut self.warp.regs, inst, mask);
                    group.pc += 1;
                }
                Op::Access(op) => {
                    if mask != 0 {
                        op(self, inst, mask)?;
                    }
                    group.pc += 1;
                }
                Op::Branch { target, reconverge } => {
                    if mask == 0 {
                        group.pc += 1;
                    } else if mask == group.mask {
                        group.pc = target;
                        *budget -= 1;
                        if *budget == 0 {
                            self.warp.groups.push(group);
                            return Ok(());
                        }
                    } else {
                        self.warp.fork(&group, [(target, mask), (group.pc + 1, group.mask & !mask)], reconverge);
                        return Ok(());
                    }
                }
                Op::Together(op) => {
                    if !self.together(inst, op, &group, mask)? {
                        return Ok(());
                    }
                    group.pc += 1;
                }
                _ => match self.control(inst, &mut group, mask)? {
                    true => {}
                    false => return Ok(()),
                },
            }
        }
    }

    /// Executes an instruction for each member mask whose lanes are all here. Says whether that was all; if not, the lanes that are left wait.
    #[inline]
    fn together(&mut self, inst: &Inst, op: AccessOp, group: &Group, mask: u32) -> Outcome<bool> {
        let row = *self.warp.regs.get::<u32>(inst.c);
        if let Some(lane) = lanes(mask).find(|&lane| row[lane] >> lane & 1 == 0) {
            let message = format!("member mask {:#010x} does not fit the lanes {mask:#010x} that execute this", row[lane]);
            return fault(FaultKind::LaunchFailed, lane, message);
        }
        let mut rest = mask;
        while rest != 0 {
            let members = row[rest.trailing_zeros() as usize];
            let here = lanes(rest).filter(|&lane| row[lane] == members).fold(0, |here, lane| here | 1 << lane);
            if members & self.warp.live == here {
                op(self, inst, here)?;
                rest &= !here;
            } else if here == group.mask {
                self.warp.groups.push(Group { state: State::Together { members }, ..*group });
                return Ok(false);
            } else {
                let parts = [(group.pc + 1, group.mask & !rest), (group.pc, rest & !here), (group.pc, here)];
                self.warp.fork(group, parts.into_iter().filter(|(_, mask)| *mask != 0), group.pc + 1);
                return Ok(false);
            }
        }
        Ok(true)
    }
}
