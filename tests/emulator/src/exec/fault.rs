//! What can go wrong in a kernel.

/// The kinds of faults, as a driver tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// An access outside of all memory.
    IllegalAddress,
    /// An address that is not a multiple of the access's size.
    Misaligned,
    /// A jump to what is no function.
    InvalidPc,
    /// A failed device-side assertion.
    Assert,
    /// The launch took longer than `PTX_EMU_TIMEOUT` seconds.
    Timeout,
    /// Everything else: races, unwritten memory, divergence, `trap`.
    LaunchFailed,
}

/// A fault of a thread.
#[derive(Debug)]
pub struct Fault {
    /// What kind of fault.
    pub kind: FaultKind,
    /// The lane that caused it, if it is one.
    pub lane: Option<usize>,
    /// What happened.
    pub message: String,
}

/// A result, or the fault that ends the launch.
pub type Outcome<T> = Result<T, Box<Fault>>;

/// Shorthand for a fault of `lane`.
pub fn fault<T>(kind: FaultKind, lane: impl Into<Option<usize>>, message: impl Into<String>) -> Outcome<T> {
    Err(Box::new(Fault { kind, lane: lane.into(), message: message.into() }))
}
