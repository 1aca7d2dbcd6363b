//! A GPT-2-like decoder: token and position embedding, blocks, a final norm, a head; every linear layer on the grid.
//!
//! | file | idea |
//! |---|---|
//! | `layers.rs` | its layers and their parameters |
//! | `network.rs` | losses of a batch, and their gradients |
//! | `decoder.rs` | token by token, with cached keys and values |

mod decoder;
mod layers;
mod network;

pub use decoder::Decoder;
pub use layers::GptIds;
pub use network::Gpt;
