//! Tensors on disk, and files that are whole or not there.

pub mod checkpoint;
pub mod durable;
pub mod mapped;
pub mod torch;
