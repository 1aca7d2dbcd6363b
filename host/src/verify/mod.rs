//! Whether a device computes what it should: every op against plain references, and training, generation and speech beside the CPU's.
//!
//! It is part of the program, so that whoever has a device can prove it there: `primal-host verify`.

mod cases;
mod harness;
pub mod ops;
mod reference;
pub mod steps;
pub mod tones;
