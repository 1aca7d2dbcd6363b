//! Tensors on disk, and files that are whole or not there.
//!
//! | module | idea |
//! |---|---|
//! | [`tensor_file`] | what every file of named tensors is: [`TensorFile`] |
//! | [`mod@open`] | the list of formats, and [`open()`], which finds the one of a file |
//! | [`dtype`], [`dequantize`] | types of elements, and `f32` of them |
//! | [`checkpoint`] | the files of this program: canonical, checksummed |
//! | [`safetensors`] | those of other programs |
//! | [`gguf`] | those of llama.cpp, which are also written |
//! | [`torch`] | what `torch.save` wrote |
//! | [`hugging_face`] | models of several files, and their folders |
//! | [`mapped`] | files in memory, and what happens when they change |
//! | [`durable`] | outputs that are whole or not there |
//! | [`kinds`] | what other files look like |
//!
//! To add a format: a file here that has a [`tensor_file::Format`], and its `mod` below; that in the list of `open.rs`; and a row in
//! `tests/hostile/tensors.rs`, or a file beside it, as `tests/hostile/gguf.rs` is.

pub mod checkpoint;
pub mod dequantize;
pub mod dtype;
pub mod durable;
pub mod gguf;
pub mod hugging_face;
pub mod kinds;
pub mod mapped;
pub mod open;
pub mod safetensors;
pub mod tensor_file;
pub mod torch;

pub use dtype::Dtype;
pub use open::{from_bytes, open};
pub use tensor_file::{TensorFile, View};
