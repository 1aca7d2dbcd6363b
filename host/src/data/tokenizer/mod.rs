//! Text to tokens and back: [`TextCodec`].
//!
//! | file | idea |
//! |---|---|
//! | `codec.rs` | a tokenizer of whatever kind: encode, decode |
//! | `stream.rs` | text of tokens that come one by one |
//! | `byte_pairs.rs` | those that need no file |
//! | `stored.rs` | one that came with an imported model |
//! | `model_files.rs` | the files that it is read from: attached to a model's file, in a folder, or the metadata of a GGUF file |
//! | `from_gguf.rs`, `from_json.rs` | read from the metadata of a GGUF file, and from `tokenizer.json` |
//! | `exchange.rs` | byte-level ones written for other programs |
//! | `pre_tokenizers.rs` | how text is cut before pairs are merged, by the names that GGUF files use |
//! | `merging.rs` | pairs merged by rank: byte-level and others, by the `tokenizers` crate |
//! | `sentence_piece.rs` | pieces merged by score |
//! | `added.rs` | tokens that are found in text before anything else, and which of them a user cannot write |

mod added;
mod byte_pairs;
mod codec;
mod exchange;
mod from_gguf;
mod from_json;
mod merging;
mod model_files;
mod pre_tokenizers;
mod sentence_piece;
mod stored;
mod stream;

#[cfg(test)]
mod stored_tests;

pub use byte_pairs::BytePairs;
pub use codec::TextCodec;
pub(super) use codec::pieces;
pub use exchange::Exchanged;
pub use model_files::ModelFiles;
pub use stored::StoredTokenizer;
pub use stream::StreamDecoder;
