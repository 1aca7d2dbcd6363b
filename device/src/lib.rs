//! The discrete logic of PRIMAL, written once: the grids, the random numbers, the votes and the flips.
#![no_std]
#![deny(unsafe_code)]
