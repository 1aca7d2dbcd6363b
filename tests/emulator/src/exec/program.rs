//! A kernel, decoded: its instructions with all operands resolved, ready to be executed.

use crate::exec::{Exec, Outcome, Regs, Unit};
use crate::profile::Class;
use crate::ptx::Space;

/// An instruction that touches registers only: `op(registers, instruction, lanes)`.
pub type LaneOp = fn(&mut Regs, &Inst, u32);
/// An instruction that reaches beyond the registers, and can fail.
pub type AccessOp = fn(&mut Exec<'_>, &Inst, u32) -> Outcome<()>;
/// No place to reconverge before the function ends.
pub const NOWHERE: u32 = u32::MAX;

/// What an instruction does.
#[derive(Clone, Copy)]
pub enum Op {
    /// Registers only.
    Lanes(LaneOp),
    /// Memory, special registers, and whatever can fail.
    Access(AccessOp),
    /// Needs all lanes that the member mask in `c` names.
    Together(AccessOp),
    /// Jumps where the guard holds.
    Branch {
        /// Where to.
        target: u32,
        /// Where both sides meet again.
        reconverge: u32,
    },
    /// Jumps to `more[a]`.
    BranchTable {
        /// Where all sides meet again.
        reconverge: u32,
    },
    /// Calls the function that begins at `target`.
    Call {
        /// The function's first instruction.
        target: u32,
    },
    /// Calls the function whose address is in `a`.
    CallIndirect,
    /// Returns from a device function, or ends the threads of a kernel.
    Return,
    /// Ends the threads.
    Exit,
    /// Ends the launch with an error.
    Trap,
    /// `bar` and `barrier`.
    Barrier(Barrier),
}

/// A barrier instruction: its number is in `a`, its thread count (if any) in `b`.
#[derive(Clone, Copy, Debug)]
pub struct Barrier {
    /// Whether all threads of the warp must be here.
    pub aligned: bool,
    /// Whether there is a thread count.
    pub counted: bool,
    /// What is done beside counting.
    pub kind: BarrierKind,
}

/// The kinds of barrier instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierKind {
    /// Waits.
    Sync,
    /// Does not wait.
    Arrive,
    /// Waits; `d` becomes the number of threads whose predicate `c` holds.
    Popc,
    /// Waits; predicate `d` becomes the conjunction of `c`.
    And,
    /// Waits; predicate `d` becomes the disjunction of `c`.
    Or,
}

/// In which lanes an instruction is executed.
#[derive(Clone, Copy, Debug)]
pub enum Guard {
    /// In all active ones.
    Always,
    /// Where this predicate holds.
    If(u32),
    /// Where it does not.
    IfNot(u32),
}

/// A decoded instruction. Slots are rows of the register file ([`Regs`]); constants lie in rows too.
#[derive(Clone)]
pub struct Inst {
    /// What it does.
    pub op: Op,
    /// Where it is executed.
    pub guard: Guard,
    /// Slot of the result.
    pub d: u32,
    /// Slot of the first operand.
    pub a: u32,
    /// Slot of the second operand.
    pub b: u32,
    /// Slot of the third operand.
    pub c: u32,
    /// A constant: an address offset, a truth table …
    pub imm: u64,
    /// More slots: elements of a vector, fragments of a matrix, branch targets.
    pub more: Box<[u32]>,
    /// Space of a memory access.
    pub space: Space,
    /// Whether the address in `a` has 32 bits (else 64).
    pub narrow: bool,
    /// A variant of the operation, as its decoder defines it.
    pub variant: u8,
    /// What it counts as.
    pub class: Class,
}

/// A value that differs from warp to warp and lies in a register row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Special {
    Tid(u8),
    Ntid(u8),
    Ctaid(u8),
    Nctaid(u8),
    LaneId,
    WarpId,
    NWarpId,
    LaneMaskEq,
    LaneMaskLe,
    LaneMaskLt,
    LaneMaskGe,
    LaneMaskGt,
    DynamicSharedSize,
    TotalSharedSize,
    GridId,
}

/// A kernel parameter.
#[derive(Clone, Debug)]
pub struct Param {
    /// Place in the parameter block, in bytes.
    pub offset: usize,
    /// Size in bytes.
    pub bytes: usize,
}

/// A decoded kernel with the device functions it can reach.
pub struct Program {
    /// Name of the kernel.
    pub name: String,
    /// The instructions; the kernel begins at 0.
    pub code: Vec<Inst>,
    /// PTX line of each instruction.
    pub lines: Vec<u32>,
    /// First units of the register file: the constants.
    pub constants: Vec<Unit>,
    /// Units of the register file.
    pub units: usize,
    /// Number of predicates.
    pub preds: usize,
    /// Special registers and the rows they are kept in.
    pub specials: Vec<(Special, u32)>,
    /// Entry points of functions whose address is taken: (address, first instruction).
    pub entries: Vec<(u64, u32)>,
    /// The parameters.
    pub params: Vec<Param>,
    /// Bytes of statically allocated shared memory; dynamic shared memory follows.
    pub shared_bytes: usize,
    /// Local memory of a thread.
    pub local_bytes: usize,
    /// `.maxntid` or `.reqntid`.
    pub max_threads: Option<u32>,
    /// `.reqntid`.
    pub required_threads: Option<[u32; 3]>,
    /// Bytes of the narrowest access that can reach shared memory.
    pub granule: usize,
}

impl Program {
    /// Bytes of the parameter block.
    pub fn param_bytes(&self) -> usize {
        self.params.last().map_or(0, |param| param.offset + param.bytes)
    }
}
