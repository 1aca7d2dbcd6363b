//! What a launch is: a program, its memory, and how many threads run it.

use std::fmt;
use std::time::Instant;

use super::fault::FaultKind;
use crate::exec::program::Program;
use crate::memory::Heap;

/// The size of a launch.
#[derive(Clone, Copy, Debug)]
pub struct LaunchSize {
    /// Blocks, by axis.
    pub grid: [u32; 3],
    /// Threads of a block, by axis.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub dynamic_shared: usize,
    /// Most bytes of shared memory, static and dynamic, that a block may have.
    pub shared_limit: usize,
}

/// What is looked for while a kernel runs. Bounds, alignment, barriers and member masks are always checked.
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    /// Races in shared memory.
    pub races: bool,
    /// Reads of global and shared memory that was never written.
    pub unwritten: bool,
}

/// A kernel launch.
pub struct Launch<'a> {
    /// The kernel.
    pub program: &'a Program,
    /// Global memory.
    pub heap: &'a Heap,
    /// The parameter block.
    pub params: &'a [u8],
    /// Blocks of the grid, by axis.
    pub grid: [u32; 3],
    /// Threads of a block, by axis.
    pub block: [u32; 3],
    /// Dynamic shared memory in bytes.
    pub dynamic_shared: usize,
    /// What is looked for.
    pub checks: Checks,
    /// Whether instructions and memory requests are counted.
    pub profile: bool,
    /// Number of the launch.
    pub id: u64,
    /// When to give up.
    pub deadline: Option<Instant>,
}

/// A fault, with the place where it happened.
#[derive(Debug)]
pub struct LaunchFault {
    /// What kind of fault.
    pub kind: FaultKind,
    /// The kernel.
    pub kernel: String,
    /// The line of the PTX text.
    pub line: u32,
    /// Coordinates of the block.
    pub block: [u32; 3],
    /// Coordinates of the thread in the block.
    pub thread: [u32; 3],
    /// What happened.
    pub message: String,
}

impl fmt::Display for LaunchFault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { kernel, line, block: [bx, by, bz], thread: [x, y, z], message, .. } = self;
        write!(f, "kernel {kernel}, PTX line {line}, block ({bx}, {by}, {bz}), thread ({x}, {y}, {z}): {message}")
    }
}
