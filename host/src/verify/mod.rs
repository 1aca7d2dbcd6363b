//! Whether a device computes what it should: training, generation and speech beside the CPU's.
//!
//! It is part of the program, so that whoever has a device can prove it there: `primal-host verify`.

pub mod steps;
pub mod tones;
