//! Parameters, and layers with explicit forward and backward passes over a back end.
//!
//! A layer is a small struct of its parameters and sizes. Its `forward` and `backward` get the spans of its activations, which its
//! `plan` reserved; decoding is the forward pass over [`Rows::After`] others.
//!
//! | file | idea |
//! |---|---|
//! | `parameters.rs` | named matrices and vectors, their start values |
//! | `fit.rs` | codes and scales from float weights |
//! | `tensors.rs`, `kept.rs` | parameters as tensors of a checkpoint, on which grid or in which blocks |
//! | `pass.rs` | which rows a pass goes over, where gradients go |
//! | `linear.rs`, `convolution.rs`, `norm.rs`, `embedding.rs` | layers of one op |
//! | `rotary.rs` | angles of rotary positions |
//! | `attention.rs`, `mlp.rs` | the two halves of a block |
//! | `block.rs`, `stack.rs` | the transformer block, and many with a norm at the end |

pub mod attention;
pub mod block;
pub mod convolution;
pub mod embedding;
pub mod fit;
pub mod kept;
pub mod linear;
pub mod mlp;
pub mod norm;
pub mod parameters;
mod pass;
pub mod rotary;
pub mod stack;
pub mod tensors;

pub use block::Block;
pub use parameters::{MatrixId, Parameters, VectorId};
pub use pass::{Backward, GradientPart, GradientSink, Purpose, Rows};
