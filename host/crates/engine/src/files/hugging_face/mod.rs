//! Models as Hugging Face keeps them: a folder of tensors, in one file or several, a `config.json` and a tokenizer.
//!
//! | module | idea |
//! |---|---|
//! | [`shards`] | which files a path stands for, and tensors in several files, as one [`TensorFile`](crate::files::TensorFile) |
//! | [`model`] | what lies beside the tensors: the configuration, the tokenizer |

pub mod model;
pub mod shards;

pub use model::{ModelFolder, scalar};
pub use shards::{Parts, Shards, folder, parts};
