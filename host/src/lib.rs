//! The engine of PRIMAL: networks that train directly on a 4-bit grid.
pub mod arena;
pub mod backend;
pub mod data;
pub mod error;

pub use error::{Error, Result};
