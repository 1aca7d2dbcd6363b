//! What can go wrong in the engine.

use std::path::Path;

/// Result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. Names and values in it may come from a file: who shows them makes them harmless.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, setting or device is not what it has to be.
    #[error("{subject}: expected {expected}, found {found} ({hint})")]
    Invalid {
        /// The file, setting or device.
        subject: String,
        /// What it should have been.
        expected: String,
        /// What it was.
        found: String,
        /// What to do about it.
        hint: String,
    },
    /// The operating system refused something.
    #[error("{action} {path}: {source} ({hint})")]
    Io {
        /// The verb: "reading", "writing" …
        action: &'static str,
        /// The path.
        path: String,
        /// What to do about it.
        hint: String,
        /// The cause.
        source: std::io::Error,
    },
    /// Work that started and could not be finished.
    #[error("{message} ({hint})")]
    Failed {
        /// What happened.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// The reader of the output is gone.
    #[error("the reader of the output is gone")]
    Closed,
}

impl Error {
    /// [`Error::Invalid`] of these four texts.
    pub fn invalid(subject: impl ToString, expected: impl ToString, found: impl ToString, hint: impl ToString) -> Self {
        Self::Invalid { subject: subject.to_string(), expected: expected.to_string(), found: found.to_string(), hint: hint.to_string() }
    }

    /// [`Error::Io`] of a path.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error, hint: impl ToString) -> Self {
        Self::Io { action, path: path.display().to_string(), hint: hint.to_string(), source }
    }

    /// [`Error::Failed`] of these two texts.
    pub fn failed(message: impl ToString, hint: impl ToString) -> Self {
        Self::Failed { message: message.to_string(), hint: hint.to_string() }
    }
}
