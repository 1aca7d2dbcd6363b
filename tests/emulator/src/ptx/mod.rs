//! PTX text: tokens, syntax tree and parser. Nothing here knows what an instruction means.

mod constant;
mod parser;
mod statement;
mod syntax;
mod token;

pub use parser::parse;
pub use syntax::*;

/// Why a PTX text is refused.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct PtxError {
    /// Line of the PTX text, from 1.
    pub line: u32,
    /// What is wrong, with the name of the instruction or directive.
    pub message: String,
}

/// Shorthand for a refusal at `line`.
pub fn refuse<T>(line: u32, message: impl Into<String>) -> Result<T, PtxError> {
    Err(PtxError { line, message: message.into() })
}
