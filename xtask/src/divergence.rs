//! Instructions that a whole warp must reach together, in branches that its lanes may not take together.
//!
//! A register differs between lanes if it comes from the thread's number, from another lane, from memory at an address that differs, or from a
//! write that not all lanes reach. A branch on such a register divides the warp until its paths meet again: in all blocks that can be reached
//! from it short of its immediate post-dominator. That rustc's inline assembly is not `convergent` to LLVM makes this worth a check: a pass may move
//! such an instruction into a branch.

use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What a whole warp must reach together. Barriers, shuffles and votes are left to the emulated GPU: kernels branch on the number of the warp
/// around them, which divides no warp and looks here as if it did.
const TOGETHER: [&str; 2] = ["mma", "ldmatrix"];
/// Instructions whose results differ between lanes whatever their operands.
const DIFFERENT: [&str; 5] = ["shfl", "atom", "mma", "ldmatrix", "activemask"];

/// An instruction: its opcode's first word, the registers it writes and reads, and its text.
struct Instruction<'a> {
    base: &'a str,
    guard: Option<&'a str>,
    writes: Vec<&'a str>,
    reads: Vec<&'a str>,
    /// Whether the lane's number is among the operands.
    of_thread: bool,
    text: &'a str,
}

/// Instructions that follow each other, and the blocks that can come next.
#[derive(Default)]
struct Block<'a> {
    instructions: Vec<Instruction<'a>>,
    next: Vec<usize>,
}

fn registers(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "%_.".contains(c);
    text.split(move |c| !is_name(c)).filter(|word| word.starts_with('%'))
}

impl<'a> Instruction<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (guard, rest) = match text.strip_prefix('@') {
            Some(rest) => {
                let (guard, rest) = rest.split_once(char::is_whitespace)?;
                (Some(guard.trim_start_matches('!')), rest.trim_start())
            }
            None => (None, text),
        };
        let opcode = rest.split_whitespace().next()?;
        let base = opcode.split('.').next()?;
        if base.is_empty() {
            return None;
        }
        let operands = rest[opcode.len()..].trim_start();
        // The first operand is written, one register or several in braces; stores and branches write none.
        let end = match operands.strip_prefix('{') {
            Some(vector) => vector.find('}').map_or(operands.len(), |at| at + 2),
            None => operands.find(',').unwrap_or(operands.len()),
        };
        let (first, others) = operands.split_at(end);
        let writes_none = ["st", "bra", "red", "bar", "ret", "exit", "trap", "cp"].contains(&base);
        let (writes, read_first) = if writes_none { (Vec::new(), first) } else { (registers(first).collect(), "") };
        let reads = registers(read_first).chain(registers(others)).chain(guard).collect();
        Some(Self { base, guard, writes, reads, of_thread: others.contains("%tid.") || others.contains("%laneid"), text })
    }
}

/// The blocks of a kernel's body; the last one is its end.
fn blocks(body: &str) -> Vec<Block<'_>> {
    let (mut blocks, mut labels) = (vec![Block::default()], BTreeMap::new());
    // Instructions end in semicolons; one may stand on two lines. Inline assembly has braces around it.
    for mut part in body.split(';') {
        loop {
            part = part.trim_start().trim_start_matches(['{', '}']).trim_start();
            let (line, rest) = part.split_once('\n').unwrap_or((part, ""));
            let code = line.split("//").next().unwrap_or_default().trim_end();
            match code.strip_suffix(':') {
                Some(label) => {
                    labels.insert(label, blocks.len());
                    blocks.push(Block::default());
                }
                None if code.is_empty() && !part.is_empty() => {}
                None => break,
            }
            part = rest;
        }
        let Some(instruction) = Instruction::parse(part.trim_end()) else { continue };
        let ends = ["bra", "ret", "exit", "trap"].contains(&instruction.base);
        blocks.last_mut().expect("a block").instructions.push(instruction);
        if ends {
            blocks.push(Block::default());
        }
    }
    blocks.push(Block::default());
    let end = blocks.len() - 1;
    for (at, block) in blocks.iter_mut().enumerate().take(end) {
        let (falls, target) = match block.instructions.last() {
            Some(last) if last.base == "bra" => {
                let label = last.text.split_whitespace().last().unwrap_or_default();
                (last.guard.is_some(), labels.get(label).copied())
            }
            Some(last) if ["ret", "exit", "trap"].contains(&last.base) => (last.guard.is_some(), Some(end)),
            _ => (true, None),
        };
        block.next = target.into_iter().chain(falls.then_some(at + 1)).collect();
    }
    blocks
}

/// For each block, those that every path from it to the end passes, itself among them.
fn post_dominators(blocks: &[Block]) -> Vec<BTreeSet<usize>> {
    let end = blocks.len() - 1;
    let mut of: Vec<BTreeSet<usize>> = vec![(0..=end).collect(); blocks.len()];
    of[end] = BTreeSet::from([end]);
    loop {
        let mut changed = false;
        for at in (0..end).rev() {
            let mut common = blocks[at].next.iter().map(|&next| of[next].clone()).reduce(|a, b| &a & &b).unwrap_or_default();
            common.insert(at);
            changed |= common != of[at];
            of[at] = common;
        }
        if !changed {
            return of;
        }
    }
}

/// The blocks between a branch and the place where its paths meet again.
fn divided(blocks: &[Block], after: &[BTreeSet<usize>], branch: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<usize> = blocks[branch].next.clone();
    while let Some(at) = open.pop() {
        // What post-dominates the branch, all lanes reach.
        if !(after[branch].contains(&at) && at != branch) && reached.insert(at) {
            open.extend(&blocks[at].next);
        }
    }
    reached
}

/// The instructions of a kernel's body that its lanes may not reach together.
pub fn find(body: &str) -> Vec<String> {
    let blocks = blocks(body);
    if !blocks.iter().flat_map(|block| &block.instructions).any(|instruction| TOGETHER.contains(&instruction.base)) {
        return Vec::new();
    }
    let after = post_dominators(&blocks);
    let (mut different, mut apart) = (HashSet::<&str>::new(), BTreeSet::new());
    loop {
        let before = (different.len(), apart.len());
        for (at, block) in blocks.iter().enumerate() {
            for instruction in &block.instructions {
                let of_lane = instruction.of_thread
                    || DIFFERENT.contains(&instruction.base)
                    || apart.contains(&at)
                    || instruction.reads.iter().any(|register| different.contains(register));
                if of_lane {
                    different.extend(&instruction.writes);
                }
            }
            let divides = block.instructions.last().and_then(|last| last.guard).is_some_and(|guard| different.contains(guard));
            if divides {
                apart.extend(divided(&blocks, &after, at));
            }
        }
        if before == (different.len(), apart.len()) {
            break;
        }
    }
    let fault = |at: usize, instruction: &Instruction| {
        let guarded = instruction.guard.is_some_and(|guard| different.contains(guard));
        TOGETHER.contains(&instruction.base) && (guarded || apart.contains(&at))
    };
    let all = blocks.iter().enumerate().flat_map(|(at, block)| block.instructions.iter().map(move |instruction| (at, instruction)));
    all.filter(|(at, instruction)| fault(*at, instruction)).map(|(_, instruction)| instruction.text.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOP: &str = "\
\tld.param.b32 \t%r1, [n];
\tmov.u32 \t%r2, %tid.x;
\tmov.b32 \t%r3, 0;
$L1:
\tadd.s32 \t%r3, %r3, 1;
\tldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r5, %r6, %r7, %r8}, [%r2];
\tsetp.lt.u32 \t%p1, %r3, LIMIT;
@%p1 bra \t$L1;
\tbar.sync 0;
\tret;
";

    #[test]
    fn a_loop_that_all_lanes_leave_together_is_none() {
        assert_eq!(find(&LOOP.replace("LIMIT", "%r1")), [""; 0]);
    }

    #[test]
    fn a_loop_that_lanes_leave_alone_divides_its_body() {
        let found = find(&LOOP.replace("LIMIT", "%r2"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("ldmatrix"), "{found:?}");
    }

    #[test]
    fn what_differs_follows_from_memory_and_from_branches() {
        let branch = "\
\tmov.u32 \t%r2, %tid.x;
\tld.shared.b32 \t%r3, [%r2];
\tmov.b32 \t%r4, 0;
\tsetp.eq.s32 \t%p1, %r3, 0;
@%p1 bra \t$L2;
\tmov.b32 \t%r4, 1;
$L2:
\tsetp.eq.s32 \t%p2, %r4, 0;
@%p2 bra \t$L3;
\tmma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32
 {%r10}, {%r11}, {%r12}, {%r10};
$L3:
\tret;
";
        assert_eq!(find(branch).len(), 1);
        assert_eq!(find(&branch.replace("%tid.x", "%ctaid.x")), [""; 0]);
        let guarded =
            "\tmov.u32 \t%r2, %tid.x;\n\tsetp.eq.s32 \t%p1, %r2, 0;\n@%p1 ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r5}, [%r2];\n\tret;\n";
        assert_eq!(find(guarded).len(), 1);
    }
}
