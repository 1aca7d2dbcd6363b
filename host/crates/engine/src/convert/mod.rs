//! Models of other programs in, and out again.
//!
//! | module | idea |
//! |---|---|
//! | [`table`] | the configuration of a model of any architecture |
//! | `names` | parameters here, in GGUF files and in those of Hugging Face |
//! | [`source`] | an open model of another program, by the parameters here: [`Source`] |
//! | `from_gguf`, `from_config` | the configuration, from metadata and from `config.json` |
//! | [`lines`] | rows of a weight in whatever way a file has them |
//! | `nibbles` | blocks of ggml with weights of 4 bits as codes and scales, and back |
//! | [`import`] | a model as a file of this program |
//! | [`attached`] | files that are kept with it |
//! | [`weights`] | a model in a file of this program, and its weights in other types |
//! | `order` | the order of rows of queries and keys |
//! | [`export`] | tensors under the names of another program |
//! | [`to_gguf`], [`to_folder`] | a model as a GGUF file, and as a folder of Hugging Face |
//!
//! To add an architecture: its configuration in `table`, a table of its names in `names`, and what its keys say in `from_gguf` and `from_config`.

pub mod attached;
pub mod export;
mod from_config;
mod from_gguf;
pub mod import;
pub mod lines;
mod names;
mod nibbles;
mod order;
pub mod source;
pub mod table;
pub mod to_folder;
pub mod to_gguf;
pub mod weights;

#[cfg(test)]
mod tests;

pub use import::{Choice, Event, Report, import as import_model, import_into};
pub use source::Source;
pub use table::Table;
pub use weights::Model;
