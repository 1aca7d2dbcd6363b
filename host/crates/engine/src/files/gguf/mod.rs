//! GGUF, the files of llama.cpp (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>), versions 2 and 3.
//!
//! | module | idea |
//! |---|---|
//! | [`file`](mod@file) | an open file: [`Gguf`] |
//! | `header` | what is in front of the data, and what has to hold of it |
//! | `cursor` | numbers and strings of bytes that nobody vouches for |
//! | [`value`] | values of metadata, as they lie in the file |
//! | `types` | the numbers of tensor types |
//! | [`write`](mod@write) | writing one: [`save`] |
//!
//! Shapes are row-major, as everywhere here; the file has them the other way round.
//!
//! Written here and not by a crate: none was found that reads values where they lie in the file, bounds the memory that a header can ask for, and writes
//! what it read.

mod cursor;
pub mod file;
mod header;
mod types;
pub mod value;
pub mod write;

#[cfg(test)]
mod tests;

pub use file::{FORMAT, Gguf};
pub use header::Tensor;
pub use value::{Array, Kind, Value};
pub use write::{encode, save, save_in};

// Numbers are little-endian in the file, and values are used where they lie.
const _: () = assert!(cfg!(target_endian = "little"));
