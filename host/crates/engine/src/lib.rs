//! The engine of PRIMAL: networks that train directly on a 4-bit grid.
//!
//! | module | idea |
//! |---|---|
//! | [`memory`] | all memory of a run, planned before the first step |
//! | [`backend`] | devices: memory, and what runs an op |
//! | [`ops`] | what a device computes, an op a folder |
//! | [`config`] | what a model is and how it is trained |
//! | [`nn`] | parameters and layers, each with its explicit backward pass |
//! | [`models`] | networks made of them |
//! | [`optim`] | the update rules |
//! | [`train`] | the step, and the state of a run |
//! | [`files`] | tensors on disk, durable writes |
//! | [`verify`] | whether a device computes what it should |
pub mod backend;
pub mod config;
mod error;
pub mod files;
pub mod interrupt;
pub mod memory;
pub mod models;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod train;
pub mod verify;

pub use error::{Error, Result};
