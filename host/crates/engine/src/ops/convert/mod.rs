//! Activations in another form.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use crate::memory::Activation;

/// `y = x`, both `[n]`, rounded to what y holds: a row of keys or values on its way into a cache of half precision.
#[derive(Clone, Copy, Debug)]
pub struct Convert {
    /// Written.
    pub y: Activation,
    /// Read.
    pub x: Activation,
}
