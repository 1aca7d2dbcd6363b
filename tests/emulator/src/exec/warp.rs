//! A warp: its registers, and the groups of lanes that run together.
//!
//! Where a branch splits a group, both sides join again at the branch's immediate post-dominator. Groups that wait (for a barrier,
//! or for the lanes that a member mask names) let the others of the warp run, so lanes may depend on each other.

use super::regs::{FULL, Regs};
use crate::exec::program::NOWHERE;

/// The join of a kernel's threads: it is never reached.
pub(super) const ROOT: usize = 0;

/// Lanes that run together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub pc: u32,
    pub mask: u32,
    pub join: usize,
    pub state: State,
}

/// What a group does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    /// It can run.
    Ready,
    /// Waits for the other lanes of `members`.
    Together { members: u32 },
    /// Waits for generation `after + 1` of a barrier.
    Barrier { id: usize, after: u32 },
}

/// A place where groups become one again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Join {
    pub pc: u32,
    /// Whether it is the return of a call (else the end of a branch).
    pub call: bool,
    pub expected: u32,
    pub arrived: u32,
    pub parent: usize,
    /// First instruction of the called function.
    pub callee: u32,
}

/// A `cp.async` that has not been waited for.
#[derive(Clone, Copy, Debug)]
pub struct CopyAsync {
    /// Group of the copy: the number of commits before it.
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
    /// Registers of all lanes.
    pub regs: Regs,
    /// Number of the warp in the block.
    pub index: u32,
    /// Lanes that have not ended.
    pub live: u32,
    /// Local memory, lane after lane.
    pub local: Vec<u8>,
    /// Copies under way, in order.
    pub copies: Vec<CopyAsync>,
    /// `cp.async.commit_group`s so far.
    pub commits: u32,
    pub(super) groups: Vec<Group>,
    pub(super) joins: Vec<Join>,
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

    pub(super) fn new_join(&mut self, join: Join) -> usize {
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
    pub(super) fn arrive(&mut self, at: usize, mask: u32) {
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
    pub(super) fn leave(&mut self, mut at: usize, until: usize, mask: u32) {
        while at != until {
            let parent = self.joins[at].parent;
            self.joins[at].expected &= !mask;
            if self.joins[at].expected != 0 {
                self.settle(at);
            }
            at = parent;
        }
    }

    pub(super) fn exit(&mut self, group: &Group, mask: u32) {
        self.live &= !mask;
        self.leave(group.join, ROOT, mask);
    }

    /// The innermost call that a group is in.
    pub(super) fn call_of(&self, group: &Group) -> usize {
        let mut at = group.join;
        while at != ROOT && !self.joins[at].call {
            at = self.joins[at].parent;
        }
        at
    }

    pub(super) fn is_inside(&self, group: &Group, callee: u32) -> bool {
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
    pub(super) fn fork(&mut self, group: &Group, parts: impl IntoIterator<Item = (u32, u32)>, reconverge: u32) {
        let current = self.joins[group.join];
        let join = if reconverge == NOWHERE || !current.call && current.pc == reconverge {
            group.join
        } else {
            self.new_join(Join { pc: reconverge, call: false, expected: group.mask, arrived: 0, parent: group.join, callee: 0 })
        };
        self.groups.extend(parts.into_iter().map(|(pc, mask)| Group { pc, mask, join, state: State::Ready }));
    }
}
