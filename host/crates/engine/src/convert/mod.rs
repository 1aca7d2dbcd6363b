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
//!
//! To add an architecture: its configuration in `table`, a table of its names in `names`, and what its keys say in `from_gguf` and `from_config`.

mod from_config;
mod from_gguf;
pub mod import;
pub mod lines;
mod names;
mod nibbles;
pub mod source;
pub mod table;

#[cfg(test)]
mod tests;

pub use import::{Choice, Event, Report, import as import_model};
pub use source::Source;
pub use table::Table;
