//! One small PTX for each instruction form. The expected values were worked out by hand from what the PTX ISA manual is known to say (release 8.x,
//! the section stands at each table), never from the emulator.

mod case;
#[path = "../common/mod.rs"]
mod common;
mod comparison;
mod float;
mod half;
mod integer;
mod logic;
mod movement;
mod refused;
