//! A launch: all blocks of a grid, in order, on all threads of the CPU.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::block::Block;
use super::fault::FaultKind;
use crate::memory::Heap;
use crate::profile::Counters;
use crate::program::Program;

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

/// Executes a launch; on a fault the blocks that have not begun are left out.
pub fn run(launch: &Launch) -> (Counters, Result<(), Box<LaunchFault>>) {
    let blocks: u64 = launch.grid.iter().map(|&n| u64::from(n)).product();
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let total = Mutex::new((Counters::default(), Ok(())));
    let work = || {
        let mut worker = Block::default();
        while !failed.load(Relaxed) {
            let index = next.fetch_add(1, Relaxed);
            if index >= blocks {
                break;
            }
            let [x, y, _] = launch.grid.map(u64::from);
            let ctaid = [(index % x) as u32, (index / x % y) as u32, (index / x / y) as u32];
            if let Err(fault) = worker.run(launch, ctaid)
                && !failed.swap(true, Relaxed)
            {
                total.lock().expect("no worker panics").1 = Err(fault);
            }
        }
        total.lock().expect("no worker panics").0.add(&worker.counters);
    };
    let workers = blocks.min(rayon::current_num_threads() as u64);
    if workers == 1 {
        work();
    } else {
        rayon::scope(|scope| (0..workers).for_each(|_| scope.spawn(|_| work())));
    }
    total.into_inner().expect("no worker panics")
}
