//! The engine of PRIMAL: networks that train directly on a 4-bit grid.
pub mod arena;
pub mod backend;
pub mod error;
pub mod train;

pub use error::{Error, Result};
