//! Execution of a decoded kernel: the grid's blocks on threads of the CPU, a block's warps in turn, a warp's lanes side by side.

mod access;
mod barrier;
mod block;
mod control;
mod fault;
mod grid;
mod launch;
pub mod program;
mod regs;
mod run;
mod shared;
mod warp;

pub use access::{Elements, Kind, LOCAL_WINDOW, PARAM_WINDOW, Place, SHARED_WINDOW, WINDOW_BYTES};
pub use fault::{Fault, FaultKind, Outcome, fault};
pub use grid::run;
pub use launch::{Checks, Launch, LaunchFault, LaunchSize};
pub use regs::{FULL, LANES, Lane, Regs, Row, Unit, broadcast, lanes, units};
pub use run::Exec;
pub use warp::{CopyAsync, Warp};

/// Addresses of device functions, one for each, begin here.
pub const FUNCTION_WINDOW: u64 = 0x0500_0000;
