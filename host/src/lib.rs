//! The engine of PRIMAL: networks that train directly on a 4-bit grid.
pub mod arena;
pub mod backend;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod data;
pub mod durable;
pub mod error;
pub mod input;
pub mod model;
pub mod run;
pub mod speech;
pub mod train;
pub mod verify;
pub mod visible;

pub use error::{Error, Result};
