//! The discrete logic of PRIMAL, written once: the grids, the random numbers, the votes and the flips.
//!
//! - [`grid`]: the 4-bit grids, nibble packing, nearest level, exact integers
//! - [`philox`]: counter-based random numbers
//! - [`vote`]: from a gradient to an integer vote
//! - [`flip`]: from a vote to a move of one level
//!
//! Everything is a plain function on `Copy` values: no heap, no state, no float library, so that the CPU back end and GPU
//! kernels run the same code and get the same bits.
#![no_std]
#![deny(unsafe_code)]

pub mod flip;
pub mod grid;
pub mod philox;
pub mod vote;
