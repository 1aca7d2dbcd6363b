//! Sums of activations.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::Activation;

/// `y = a + b`, all `[n]`; y may be a itself.
#[derive(Clone, Copy, Debug)]
pub struct Add {
    /// Written.
    pub y: Activation,
    /// First term.
    pub a: Activation,
    /// Second term.
    pub b: Activation,
}
