//! A CUDA driver library that executes PTX on the CPU.
//!
//! [`driver`] is what programs see: the functions of `libcuda.so`. Below it, [`device`] holds memory, modules and launches; [`ptx`] reads
//! PTX, `decode` turns it into programs, and [`exec`] executes them with 32-lane warps.

mod decode;
pub mod device;
pub mod driver;
mod exact;
pub mod exec;
pub mod memory;
pub mod profile;
pub mod ptx;
pub mod tally;
