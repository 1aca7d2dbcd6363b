//! A warp: its registers, and the groups of lanes that run together.
//!
//! Where a branch splits a group, both sides join again at the branch's immediate post-dominator. Groups that wait (for a barrier,
//! or for the lanes that a member mask names) let the others of the warp run, so lanes may depend on each other.

use super::block::BarrierState;
use super::fault::{FaultKind, Outcome, fault};
use super::grid::Launch;
use super::regs::{FULL, LANES, Regs, lanes};
use super::shared::Shared;
use crate::profile::Counters;
use crate::program::{Barrier, BarrierKind, Guard, Inst, NOWHERE, Op};

/// Taken branches after which a warp lets others run.
const SLICE: u32 = 20_000;
/// The join of a kernel's threads: it is never reached.
const ROOT: usize = 0;

/// Lanes that run together.
#[derive(Clone, Copy, Debug)]
struct Group {
    pc: u32,
    mask: u32,
    join: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Ready,
    /// Waits for the other lanes of `members`.
    Together {
        members: u32,
    },
    /// Waits for generation `after + 1` of a barrier.
    Barrier {
        id: usize,
        after: u32,
    },
}

/// A place where groups become one again.
#[derive(Clone, Copy, Debug)]
struct Join {
    pc: u32,
    /// Whether it is the return of a call (else the end of a branch).
    call: bool,
    expected: u32,
    arrived: u32,
    parent: usize,
    /// First instruction of the called function.
    callee: u32,
}

/// A `cp.async` that has not been waited for.
#[derive(Clone, Copy, Debug)]
pub struct CopyAsync {
    /// Its group: the number of commits before it.
    pub group: u32,
    /// The lane that asked for it.
    pub lane: usize,
    /// Generic address of the source.
    pub from: u64,
    /// Offset in shared memory.
    pub to: u64,
    /// Bytes that are written.
    pub bytes: usize,
    /// Bytes that are read; the rest is zero.
    pub source_bytes: usize,
    /// The instruction.
    pub pc: u32,
}

/// The state of a warp.
#[derive(Default)]
pub struct Warp {
    /// Its registers.
    pub regs: Regs,
    /// Its number in the block.
    pub index: u32,
    /// Lanes that have not ended.
    pub live: u32,
    /// Local memory, lane after lane.
    pub local: Vec<u8>,
    /// Copies under way, in order.
    pub copies: Vec<CopyAsync>,
    /// `cp.async.commit_group`s so far.
    pub commits: u32,
    groups: Vec<Group>,
    joins: Vec<Join>,
}

/// Why a warp stopped running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// All its threads ended.
    Done,
    /// It waits for a barrier.
    Blocked,
    /// Its time slice is over.
    Sliced,
}

impl Warp {
    /// Lets the lanes of `live` begin at the kernel's first instruction.
    pub fn start(&mut self, index: u32, live: u32) {
        (self.index, self.live) = (index, live);
        self.copies.clear();
        self.commits = 0;
        self.joins.clear();
        self.joins.push(Join { pc: NOWHERE, call: false, expected: FULL, arrived: 0, parent: ROOT, callee: 0 });
        self.groups.clear();
        self.groups.push(Group { pc: 0, mask: live, join: ROOT, state: State::Ready });
    }

    /// Where its lanes wait, for a message: (instruction, lanes).
    pub fn waiting(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.groups.iter().map(|group| (group.pc, group.mask))
    }

    fn new_join(&mut self, join: Join) -> usize {
        match self.joins.iter().skip(1).position(|old| old.expected == 0) {
            Some(free) => {
                self.joins[free + 1] = join;
                free + 1
            }
            None => {
                self.joins.push(join);
                self.joins.len() - 1
            }
        }
    }

    /// Lanes of `mask` come to a join.
    fn arrive(&mut self, at: usize, mask: u32) {
        self.joins[at].arrived |= mask;
        self.settle(at);
    }

    /// Lets the lanes go on if all that are expected have arrived.
    fn settle(&mut self, at: usize) {
        let join = self.joins[at];
        if at != ROOT && join.arrived == join.expected {
            self.joins[at].expected = 0;
            if join.arrived != 0 {
                self.groups.push(Group { pc: join.pc, mask: join.arrived, join: join.parent, state: State::Ready });
            }
        }
    }

    /// Lanes of `mask` leave the joins from `at` up to (not including) `until`.
    fn leave(&mut self, mut at: usize, until: usize, mask: u32) {
        while at != until {
            let parent = self.joins[at].parent;
            self.joins[at].expected &= !mask;
            if self.joins[at].expected != 0 {
                self.settle(at);
            }
            at = parent;
        }
    }

    fn exit(&mut self, group: &Group, mask: u32) {
        self.live &= !mask;
        self.leave(group.join, ROOT, mask);
    }

    /// The innermost call that a group is in.
    fn call_of(&self, group: &Group) -> usize {
        let mut at = group.join;
        while at != ROOT && !self.joins[at].call {
            at = self.joins[at].parent;
        }
        at
    }

    fn is_inside(&self, group: &Group, callee: u32) -> bool {
        let mut at = group.join;
        while at != ROOT {
            if self.joins[at].call && self.joins[at].callee == callee {
                return true;
            }
            at = self.joins[at].parent;
        }
        false
    }

    /// Splits a group; the parts join again at `reconverge`.
    fn fork(&mut self, group: &Group, parts: impl IntoIterator<Item = (u32, u32)>, reconverge: u32) {
        let current = self.joins[group.join];
        let join = if reconverge == NOWHERE || !current.call && current.pc == reconverge {
            group.join
        } else {
            self.new_join(Join { pc: reconverge, call: false, expected: group.mask, arrived: 0, parent: group.join, callee: 0 })
        };
        self.groups.extend(parts.into_iter().map(|(pc, mask)| Group { pc, mask, join, state: State::Ready }));
    }
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
                    if mask == 0 {
                        group.pc += 1;
                    } else if self.all_together(inst, &mut group, mask)? {
                        op(self, inst, mask)?;
                        group.pc += 1;
                    } else {
                        return Ok(());
                    }
                }
                _ => match self.control(inst, &mut group, mask)? {
                    true => {}
                    false => return Ok(()),
                },
            }
        }
    }

    /// Whether all lanes of the member mask are in `mask`; if not, the group waits for them.
    fn all_together(&mut self, inst: &Inst, group: &mut Group, mask: u32) -> Outcome<bool> {
        let row = self.warp.regs.get::<u32>(inst.c);
        let members = row[mask.trailing_zeros() as usize];
        for lane in lanes(mask) {
            if row[lane] != members || members >> lane & 1 == 0 {
                let message = format!("member mask {:#010x} does not fit the lanes {mask:#010x} that execute this", row[lane]);
                return fault(FaultKind::LaunchFailed, lane, message);
            }
        }
        if members & self.warp.live == mask {
            return Ok(true);
        }
        if mask == group.mask {
            self.warp.groups.push(Group { state: State::Together { members }, ..*group });
        } else {
            self.warp.fork(group, [(group.pc + 1, group.mask & !mask), (group.pc, mask)], group.pc + 1);
        }
        Ok(false)
    }

    /// Executes a control instruction; says whether the group goes on.
    fn control(&mut self, inst: &Inst, group: &mut Group, mask: u32) -> Outcome<bool> {
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
