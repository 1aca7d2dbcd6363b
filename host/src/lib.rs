//! PRIMAL as a program: its commands, data, voices and reports, around [`primal_engine`] and [`primal_speech`].
pub mod chat;
pub mod cli;
pub mod configurations;
pub mod data;
pub mod error;
pub mod input;
pub mod output;
pub mod ranks;
pub mod report;
pub mod runs;
pub mod signals;
pub mod sound;
mod tasks;
pub mod verify;
pub mod visible;
pub mod voice;

pub use error::{Error, Result};
