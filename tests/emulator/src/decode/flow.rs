//! Branch targets and reconvergence: where a branch splits a warp, its sides meet at the branch's immediate post-dominator
//! (Cooper, Harvey and Kennedy, "A simple, fast dominance algorithm", on the reversed graph).
//!
//! Threads that end are not waited for, so a block that ends threads does not count as a way around: post-dominance is taken towards the
//! one ending that most blocks can reach, then towards the next one for the blocks that are left.

use super::Result;
use super::context::Decoder;
use crate::exec::program::{Guard, Inst, NOWHERE, Op};

const NONE: usize = usize::MAX;

/// Resolves the labels of the function that was just decoded, and where its branches reconverge.
pub fn resolve(d: &mut Decoder) -> Result<()> {
    for (at, names) in std::mem::take(&mut d.jumps) {
        let mut targets = Vec::new();
        for name in names {
            match d.labels.get(&name) {
                Some(&target) => targets.push(target),
                None => return d.refuse(format!("label `{name}` is not there")),
            }
        }
        match &mut d.code[at].op {
            Op::Branch { target, .. } => *target = targets[0],
            _ => d.code[at].more = targets.into(),
        }
    }
    let begin = d.begin;
    let meeting = meeting_points(&d.code[begin..], begin);
    for (inst, &meeting) in d.code[begin..].iter_mut().zip(&meeting) {
        if let Op::Branch { reconverge, .. } | Op::BranchTable { reconverge } = &mut inst.op {
            *reconverge = meeting;
        }
    }
    Ok(())
}

/// For each instruction, where the sides of a branch there meet.
fn meeting_points(code: &[Inst], begin: usize) -> Vec<u32> {
    let blocks = Blocks::new(code, begin);
    let mut meeting = vec![NONE; blocks.first.len()];
    let mut left: Vec<bool> = vec![true; blocks.first.len()];
    while let Some(order) = blocks.order_towards_best_end(&left) {
        let found = blocks.post_dominators(&order);
        for &block in &order {
            left[block] = false;
            meeting[block] = found[block];
        }
    }
    let place = |block: usize| if block == NONE { NOWHERE } else { (begin + blocks.first[block]) as u32 };
    (0..code.len()).map(|at| place(meeting[blocks.of(at)])).collect()
}

/// The basic blocks of a function.
struct Blocks {
    /// First instruction of each.
    first: Vec<usize>,
    next: Vec<Vec<usize>>,
    previous: Vec<Vec<usize>>,
    /// Whether threads end here in the normal way.
    ends: Vec<bool>,
}

impl Blocks {
    fn new(code: &[Inst], begin: usize) -> Self {
        let mut leads = vec![false; code.len() + 1];
        leads[0] = true;
        let targets = |inst: &Inst| match inst.op {
            Op::Branch { target, .. } => vec![target as usize - begin],
            Op::BranchTable { .. } => inst.more.iter().map(|&target| target as usize - begin).collect(),
            _ => Vec::new(),
        };
        let leaves = |inst: &Inst| matches!(inst.op, Op::Branch { .. } | Op::BranchTable { .. } | Op::Return | Op::Exit | Op::Trap);
        for (at, inst) in code.iter().enumerate() {
            targets(inst).into_iter().for_each(|target| leads[target] = true);
            leads[at + 1] |= leaves(inst);
        }
        let first: Vec<usize> = (0..code.len()).filter(|&at| leads[at]).collect();
        let count = first.len();
        let mut blocks = Self { first, next: vec![Vec::new(); count], previous: vec![Vec::new(); count], ends: vec![false; count] };
        for block in 0..count {
            let last = blocks.first.get(block + 1).copied().unwrap_or(code.len()) - 1;
            let inst = &code[last];
            let always = matches!(inst.guard, Guard::Always);
            let mut next: Vec<usize> = targets(inst).into_iter().map(|target| blocks.of(target)).collect();
            if (!always || !leaves(inst)) && block + 1 < count {
                next.push(block + 1);
            }
            blocks.ends[block] = always && matches!(inst.op, Op::Return | Op::Exit);
            next.iter().for_each(|&to| blocks.previous[to].push(block));
            blocks.next[block] = next;
        }
        blocks
    }

    /// The block of an instruction.
    fn of(&self, at: usize) -> usize {
        self.first.partition_point(|&first| first <= at) - 1
    }

    /// Of the blocks that are left, those that reach the ending which most of them reach: the ending first, in reverse post-order of the
    /// reversed graph.
    fn order_towards_best_end(&self, left: &[bool]) -> Option<Vec<usize>> {
        let ends = (0..left.len()).filter(|&block| left[block] && self.ends[block]);
        ends.map(|end| self.order_towards(end, left)).max_by_key(Vec::len)
    }

    fn order_towards(&self, end: usize, left: &[bool]) -> Vec<usize> {
        let mut seen = vec![false; left.len()];
        let mut order = Vec::new();
        let mut stack = vec![(end, 0)];
        seen[end] = true;
        while let Some((block, at)) = stack.pop() {
            match self.previous[block].get(at) {
                None => order.push(block),
                Some(&before) => {
                    stack.push((block, at + 1));
                    if left[before] && !seen[before] {
                        seen[before] = true;
                        stack.push((before, 0));
                    }
                }
            }
        }
        order.reverse();
        order
    }

    /// Immediate post-dominators of the blocks of `order`; `NONE` for all others and for the ending itself.
    fn post_dominators(&self, order: &[usize]) -> Vec<usize> {
        let mut rank = vec![NONE; self.first.len()];
        order.iter().enumerate().for_each(|(at, &block)| rank[block] = at);
        let mut found = vec![NONE; self.first.len()];
        found[order[0]] = order[0];
        let mut changed = true;
        while changed {
            changed = false;
            for &block in &order[1..] {
                let known = self.next[block].iter().copied().filter(|&next| rank[next] != NONE && found[next] != NONE);
                let meeting = known.reduce(|a, b| common(&found, &rank, a, b)).expect("it reaches the ending");
                changed |= found[block] != meeting;
                found[block] = meeting;
            }
        }
        found[order[0]] = NONE;
        found
    }
}

fn common(found: &[usize], rank: &[usize], mut a: usize, mut b: usize) -> usize {
    while a != b {
        while rank[a] > rank[b] {
            a = found[a];
        }
        while rank[b] > rank[a] {
            b = found[b];
        }
    }
    a
}
