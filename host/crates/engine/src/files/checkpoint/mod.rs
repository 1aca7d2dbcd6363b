//! Checkpoints: safetensors files in which every bit is covered by a checksum, saved so that a crash or a full disk never costs the last good one.
//!
//! The file is what the safetensors specification asks for (<https://huggingface.co/docs/safetensors>): a little-endian `u64` with the length of the
//! header, the header (JSON), the data of the tensors without gaps. On top of that, so that the same content always gives the same bytes:
//!
//! - the header is sorted by key, compact, and padded with spaces until the data starts at a multiple of 64 bytes;
//! - tensors lie in the file by falling alignment of their type, then by name, so each one is aligned for its type in a mapped file;
//! - `__metadata__` holds the caller's strings and, under `primal.`, the format version, the XXH3-128 of every tensor and that of the header itself.
//!
//! A file is accepted only if its header is byte for byte what this program would write for the content it parsed, which refuses changed
//! spacing, escapes, duplicate keys, gaps, overlaps and odd lengths in one comparison.
//!
//! [`save`] writes, [`Checkpoint`] reads, [`Retention`] looks after the folder of a run.

mod content;
mod header;
mod reader;
mod retention;
mod writer;

#[cfg(test)]
mod tests;

pub use super::dtype::Dtype;
pub use content::{Content, LARGEST};
pub use header::{FORMAT_VERSION, Header, TensorEntry, VERSION_KEY, parse_header};
pub use reader::{Checkpoint, Element, FORMAT, MappedTensor};
pub use retention::{Best, LOCK, LOSS_KEY, Latest, RUN_KEY, Retention, Saved, best, latest_good, list, step_file};
pub use writer::{TensorData, TensorRef, TensorSource, encode, save, save_in};

// Tensors are stored little-endian and mapped as they are.
const _: () = assert!(cfg!(target_endian = "little"));
