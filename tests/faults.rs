//! Faults around a run and an output: what is killed, edited, mixed up, full or closed loses no data and says so.
//!
//! `PRIMAL_HOST=PATH` tries another build of the program.
#![cfg(unix)]

#[path = "faults/files.rs"]
mod files;
#[path = "faults/identity.rs"]
mod identity;
#[path = "faults/leftovers.rs"]
mod leftovers;
#[path = "faults/mapped.rs"]
mod mapped;
#[path = "faults/more.rs"]
mod more;
#[path = "faults/pipes.rs"]
mod pipes;
#[path = "faults/signals.rs"]
mod signals;
#[path = "tts/tiny.rs"]
mod tiny;
#[path = "faults/world.rs"]
mod world;
