//! Decoders: an embedding, blocks that see only themselves and what came before, a final norm, a head; every linear layer on the grid.
//!
//! | file | idea |
//! |---|---|
//! | `layers.rs` | which parts they are built of, and their parameters |
//! | `network.rs` | losses of a batch, and their gradients |
//! | `decoder.rs` | some tokens after others, with cached keys and values |

mod decoder;
mod layers;
mod network;

pub use decoder::Decoder;
pub use layers::{CausalLayers, CausalShape, CausalTable, HEAD};
pub use network::Causal;
