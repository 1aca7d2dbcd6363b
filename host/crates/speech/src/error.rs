//! What can be wrong with the bytes and settings of speech.

/// Result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong, by the name that the caller gave to what was read. The texts may come from a file: who shows them makes them harmless.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bytes or settings that are not what they have to be.
    #[error("{subject}: expected {expected}, found {found} ({hint})")]
    Invalid {
        /// What was read.
        subject: String,
        /// What it should have been.
        expected: String,
        /// What it was.
        found: String,
        /// What to do about it.
        hint: String,
    },
    /// A sound that cannot be written.
    #[error("{message} ({hint})")]
    Unwritable {
        /// What is the matter with it.
        message: String,
        /// What to do about it.
        hint: String,
    },
}

impl Error {
    /// [`Error::Invalid`] of these four texts.
    pub fn invalid(subject: impl ToString, expected: impl ToString, found: impl ToString, hint: impl ToString) -> Self {
        Self::Invalid { subject: subject.to_string(), expected: expected.to_string(), found: found.to_string(), hint: hint.to_string() }
    }
}
